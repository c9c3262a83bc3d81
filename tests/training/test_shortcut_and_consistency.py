"""Shortcut and consistency models through the whole library: trained, saved, loaded, resumed, guided, from a shell."""

import dataclasses

import pytest
import torch

import pushforward as pf
from pushforward.cli import main
from pushforward.errors import InputError
from pushforward.networks import MLP, Field, ToEnd, ToEnds, TwoTime, UNet
from pushforward.objectives import (
    Consistency,
    Dyadic,
    FlowMatching,
    Intrinsic,
    Neighbours,
    NoiseDivergence,
    Shortcut,
    Tuned,
    Wavelet,
)
from pushforward.paths import Affine, VariationalNoise
from pushforward.solvers import Jump
from pushforward.storage import read_tensors
from pushforward.training import EMA, Trainer

SHORT = Trainer(steps=6, batch_size=16, warmup=0, decay="constant", checkpoint_every=3)
X = torch.randn(200, 2, generator=torch.Generator().manual_seed(5))
OBJECTIVES = [
    Shortcut(times=Dyadic(distinct=0.5)),
    Shortcut(target_decay=None, clamp=4.0),
    Consistency(times=Neighbours(first=2, last=8)),
    Consistency(times=Tuned(), target_decay=0.9),
    NoiseDivergence(Consistency(times=Neighbours(last=20))),
    NoiseDivergence(Shortcut()),
]


def pushed(flow: pf.FlowTransport, steps: int) -> torch.Tensor:
    return flow.push(X, steps=steps, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda objective: type(objective).__name__)
def test_contract(objective, tmp_path):
    """Named with a plain network; the average that targets are made with comes back after a kill, to the bit."""
    path = VariationalNoise(width=8) if isinstance(objective, NoiseDivergence) else None
    fit = {"network": MLP(width=8), "objective": objective, "trainer": SHORT, "path": path}
    flow = pf.fit("gaussian", "ring", out=tmp_path / "run", **fit)
    jumps = objective.sampler()
    assert flow.solver == jumps and type(flow.field.architecture) is (TwoTime if jumps == Jump() else ToEnd)
    again = pf.load(tmp_path / "run")
    for steps in (1, 2, 4):
        assert torch.equal(pushed(again, steps), pushed(flow, steps))
        solver = dataclasses.replace(jumps, steps=steps)
        assert flow.solve(X, solver=solver).evaluations == steps
    (tmp_path / "run/checkpoints/step-000000006.safetensors").unlink()
    (tmp_path / "run/transport.json").unlink()
    resumed = pf.fit("gaussian", "ring", out=tmp_path / "run", resume=True, **fit)
    assert torch.equal(pushed(resumed, 2), pushed(flow, 2))


def test_two_averages_each_with_their_own_decay(tmp_path):
    """Both lie in the checkpoint: the short one is nearer to the weights, and follows the formula."""
    trainer = dataclasses.replace(SHORT, steps=60, checkpoint_every=60, ema=0.999, learning_rate=1e-2)
    objective = Shortcut(target_decay=0.5)
    pf.fit("gaussian", "ring", network=MLP(width=8), objective=objective, trainer=trainer, out=tmp_path / "run")
    tensors, _ = read_tensors(tmp_path / "run/checkpoints/step-000000060.safetensors")
    name = "network.network.last.weight"
    live, short, long = (tensors[f"{part}.{name}"] for part in ("model/field", "model/average", "ema/field"))
    assert 0 < (short - live).norm() < 0.3 * (long - live).norm()


def test_an_average_held_in_a_copy_is_the_same_average():
    torch.manual_seed(0)
    live, copy = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    copy.load_state_dict(live.state_dict())
    plain, held = EMA(live, 0.9), EMA(live, 0.9, copy)
    for step in range(20):
        with torch.no_grad():
            live.weight += torch.randn(2, 2)
        plain.update(step)
        held.update(step)
    assert torch.equal(plain.state()["weight"], copy.weight) and torch.equal(plain.state()["bias"], copy.bias)


def test_targets_are_not_trained():
    """The average has no gradient, and the optimiser does not know it."""
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), objective=Shortcut(), trainer=SHORT)
    assert all(parameter.requires_grad for parameter in flow.field.parameters())
    compiled = dataclasses.replace(SHORT, steps=2, precision="bfloat16")
    again = pf.fit("gaussian", "ring", network=MLP(width=8), objective=Shortcut(), trainer=compiled)
    assert torch.isfinite(again.push(X)).all()


def test_guidance_is_one_evaluation(tmp_path):
    label = torch.arange(64) % 2
    points = torch.randn(64, 2) + 4 * label[:, None]
    objective = Shortcut(Intrinsic(3.0), condition_dropout=0.2, times=Dyadic(distinct=0.5))
    flow = pf.fit(
        "gaussian", points, condition={"label": label}, network=MLP(width=8), objective=objective, trainer=SHORT
    )
    told = {"label": [0, 1, 0, 1]}
    with torch.no_grad():
        for parameter in flow.field.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    plain, guided = flow.push(X[:4], told), flow.push(X[:4], told, guidance=2.0)
    assert (plain - guided).abs().max() > 1e-4 and flow.solve(X[:4], told, guidance=2.0).evaluations == 1
    assert torch.equal(guided, flow.push(X[:4], told | {"guidance": 2.0}))
    assert torch.equal(plain, flow.push(X[:4], told | {"guidance": 1.0}))
    assert flow.target_columns == ("label",)
    flow.save(tmp_path / "run")
    assert torch.equal(pf.load(tmp_path / "run").push(X[:4], told, guidance=2.0), guided)
    with pytest.raises(InputError, match="guides by conditions"):
        pf.fit("gaussian", "ring", network=MLP(width=8), objective=objective, trainer=SHORT)


def test_images_with_wavelets():
    target = torch.randn(32, 1, 8, 8)
    objective = Shortcut(distance=Wavelet(), times=Dyadic(distinct=0.5))
    flow = pf.fit("gaussian", target, network=UNet(channels=4), objective=objective, trainer=SHORT)
    assert flow.sample(2, steps=2).shape == (2, 1, 8, 8)


def test_a_consistency_model_has_no_velocity(tmp_path):
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), objective=Consistency(), trainer=SHORT)
    assert flow.field.only_to_end
    for ask in (
        lambda: flow.push(X, method="euler", steps=2),
        lambda: flow.pull(X),
        lambda: flow.log_prob(X),
        lambda: flow.push(X, tolerance=1e-3),
    ):
        with pytest.raises(InputError):
            ask()
    paired = pf.fit(X, X + 1, network=MLP(width=8), objective=Consistency(), trainer=SHORT)
    assert paired.push(X).shape == X.shape
    with pytest.raises(InputError, match="one step"):
        paired.push(X, steps=2)


def test_flows_go_on_as_consistency_models():
    """It starts with the weights of the flow: one jump is its Euler step."""
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), objective=FlowMatching(), trainer=SHORT)
    adapted = ToEnds().adapted(flow.field)
    t = torch.zeros(len(X))
    assert torch.equal(adapted.mean_velocity(X, t, t + 1), flow.field.velocity(X, t))
    assert ToEnds().adapted(adapted) is adapted
    given = Field(torch.nn.Linear(2, 2), Affine(), (2,), {})
    with pytest.raises(InputError, match="nothing says how"):
        ToEnds().adapted(given)


def test_learns_a_shift_in_one_jump():
    """N(0, I) to N(m, I): the noise that belongs to a point is the point itself, shifted, and so is the map."""
    m = torch.tensor([2.0, -1.0])
    target = pf.measures.Gaussian([2.0, -1.0])
    trainer = Trainer(steps=300, batch_size=128, learning_rate=4e-3, ema=0.98)
    for objective in (Shortcut(times=Dyadic(distinct=0.5)), Consistency(times=Neighbours(last=40))):
        flow = pf.fit("gaussian", target, network=MLP(width=32), objective=objective, trainer=trainer, normalise="none")
        assert float((flow.push(X) - X - m).square().sum(1).mean()) < 0.2
        moved = pushed(flow, 2)
        assert (moved.mean(0) - m).norm() < 0.3 and float((moved - m).std()) == pytest.approx(1.0, abs=0.4)


def test_from_a_shell(tmp_path, capsys):
    points = str(tmp_path / "out.csv")
    small = ["--network", "MLP", "--network.width", "8", "--trainer.steps", "3", "--trainer.batch_size", "16"]
    fit = ["fit", "gaussian", "ring", *small, "--quiet", "--out"]
    options = {
        "a": ["--objective", "Shortcut", "--objective.times.distinct", "0.5"],
        "b": ["--objective", "Consistency", "--objective.times", "Tuned"],
        "c": ["--objective", "NoiseDivergence", "--path", "VariationalNoise", "--path.width", "8"],
    }
    for name, words in options.items():
        out = str(tmp_path / name)
        assert main([*fit, out, *words]) == 0, capsys.readouterr().err
        assert main(["push", out, "gaussian", "--rows", "5", "-o", points]) == 0
    assert main(["evaluate", str(tmp_path / "b"), "--rows", "50", "--steps", "1", "2"]) == 0
    assert "W2 against evaluations: 1:" in capsys.readouterr().out
