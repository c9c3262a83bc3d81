"""The velocity at the end of a straight path is the point; a translator is made of it with a critic."""

from typing import Any

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.couplings import Independent
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, ring
from pushforward.networks import MLP, Criticised, Field, WithCritic
from pushforward.objectives import FlowMatching, Translation
from pushforward.paths import VP, Affine, CondOT
from pushforward.solvers import FixedStep, VelocityAtEnd
from pushforward.training import Trainer

SHORT = Trainer(steps=6, batch_size=16, warmup=0, decay="constant", checkpoint_every=3)
SCHEMA = {"kind": Column(("a", "b", "c"))}


@pytest.mark.parametrize("mean", [[0.0, 0.0], [1.0, -2.0]], ids=str)
def test_at_the_end_the_velocity_is_the_point(mean):
    """To rounding for Gaussians at t = 1, less the mean of the source; nearly so a little before."""
    source, target = Gaussian(torch.tensor(mean).double()), Gaussian([2.0, -1.0], [[0.09, 0.0], [0.0, 4.0]])
    oracle = AffineOracle(source, target, CondOT())
    x = target.sample(100, generator=torch.Generator().manual_seed(0)).double()
    y = VelocityAtEnd(1.0).solve(oracle, x).x
    torch.testing.assert_close(y, x - torch.tensor(mean).double(), atol=1e-12, rtol=0)
    near = VelocityAtEnd().solve(AffineOracle(Gaussian.standard(2), ring(), CondOT()), ring().sample(100))
    assert near.evaluations == 1


def test_where_it_is_not_says_so():
    x, oracle = torch.randn(4, 2), AffineOracle(Gaussian.standard(2), ring(), VP())
    with pytest.raises(InputError, match="train on CondOT"):
        VelocityAtEnd().solve(oracle, x)
    with pytest.raises(InputError, match="cannot be inverted"):
        VelocityAtEnd().solve(AffineOracle(Gaussian.standard(2), ring(), CondOT()), x, start=1.0, end=0.0)
    with pytest.raises(InputError, match="t_end"):
        VelocityAtEnd(0.0)


def judged_field() -> Field:
    torch.manual_seed(0)
    field = WithCritic(MLP(width=8)).adapted(Field(MLP(width=8), Affine(), (2,), SCHEMA))
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return field


def gradients(field: Field, objective: Translation) -> tuple[float, float]:
    """Squared gradients of the generator and of the critic."""
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    batch = Pairs(x, x, {"kind": torch.arange(16) % 3})
    total = objective(field, batch, field.path, generator=torch.Generator().manual_seed(1)).total
    field.zero_grad()
    total.backward()
    network = field.network
    assert isinstance(network, Criticised)
    generator, critic = (
        sum(float(p.grad.square().sum()) for p in part.parameters() if p.grad is not None)
        for part in (network.generator, network.critic)
    )
    return generator, critic


def test_each_loss_teaches_one_of_the_two():
    """Without the losses of the generator only the critic learns, and by its hinge alone."""
    field = judged_field()
    generator, critic = gradients(field, Translation(0.0, 0.0, 0.0))
    assert generator == 0 and critic > 0
    adversary, same = gradients(field, Translation(1.0, 0.0, 0.0))
    assert adversary > 0 and same == pytest.approx(critic)


def test_every_row_goes_to_another_category():
    told = {"kind": torch.arange(300) % 3}
    other = Translation()._others(told, SCHEMA, torch.Generator().manual_seed(0))["kind"]
    assert (other != told["kind"]).all() and set(other.tolist()) == {0, 1, 2}


def test_mistakes_and_descriptions():
    field, rows = judged_field(), {"kind": torch.zeros(4, dtype=torch.long)}
    assert build(describe(Translation(cycle=1.0))) == Translation(cycle=1.0)
    plain = Field(MLP(width=8), Affine(), (2,), SCHEMA)
    batch = Pairs(torch.randn(4, 2), torch.randn(4, 2), rows)
    with pytest.raises(InputError, match="the adapter WithCritic"):
        Translation()(plain, batch, plain.path)
    with pytest.raises(InputError, match="did you mean 'kind'"):
        Translation(category="kin")(field, batch, field.path)
    with pytest.raises(InputError, match="between categories"):
        Translation()(field, Pairs(batch.x0, batch.x1), field.path)
    with pytest.raises(InputError, match="negative"):
        Translation(cycle=-1.0)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "both.csv"
    points = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)) * 3 + 5
    rows = [f"{x:.4f},{y:.4f},{'ab'[k % 2]}" for k, (x, y) in enumerate(points.tolist())]
    path.write_text("\n".join(["x,y,kind", *rows]) + "\n")
    return str(path)


def test_trains_is_saved_and_goes_on(table, tmp_path):
    """The translator's source comes in the units of the target, and a killed run ends with the same bits."""
    flow = pf.fit("gaussian", table, condition="kind", network=MLP(width=8), trainer=SHORT,
                  objective=FlowMatching(condition_dropout=0.1))  # fmt: skip
    fit: dict[str, Any] = {
        "condition": "kind", "init": flow, "adapter": WithCritic(MLP(width=8)), "objective": Translation(),
        "coupling": Independent(), "trainer": SHORT,
    }  # fmt: skip
    translator = pf.fit(table, table, out=tmp_path / "run", **fit)
    assert translator.solver == VelocityAtEnd()
    assert translator.source_frame.agrees(flow.target_frame) and not flow.source_frame.agrees(flow.target_frame)
    x = torch.tensor([[5.0, 4.0], [6.0, 7.0]])
    found = translator.push(x, {"kind": ["b", "b"]})
    assert torch.equal(pf.load(tmp_path / "run").push(x, {"kind": ["b", "b"]}), found)
    assert translator.solve(x, {"kind": ["a", "b"]}).evaluations == 1
    (tmp_path / "run/checkpoints/step-000000006.safetensors").unlink()
    (tmp_path / "run/transport.json").unlink()
    resumed = pf.fit(table, table, out=tmp_path / "run", resume=True, **fit)
    assert torch.equal(resumed.push(x, {"kind": ["b", "b"]}), found)
    naive = pf.fit(table, table, **fit | {"objective": Translation(generator=FixedStep("euler", 1))})
    assert naive.solver == FixedStep("euler", 1)


def test_from_a_shell(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ["--condition", "kind", "--trainer.steps", "2", "--quiet"]
    assert main(["fit", "gaussian", table, "--out", "flow", "--network", "MLP", "--network.width", "8", *small]) == 0
    words = ["--init", "flow", "--adapter", "WithCritic", "--objective", "Translation", "--coupling", "Independent"]
    assert main(["fit", table, table, "--out", "translator", *words, *small]) == 0
    assert pf.load("translator").solver == VelocityAtEnd()
