"""The refiner: what it regresses on, that the field stays as it is, and its way through `fit`."""

import pytest
import torch

import pushforward as pf
from pushforward.cli.main import main
from pushforward.conditions import Column
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, DiT, Field, Refiner
from pushforward.objectives import VelocityRefinement
from pushforward.paths import VP, Affine
from pushforward.solvers import Program
from pushforward.training import Trainer

LABEL = torch.arange(200) % 2
X1 = 5 + 2 * torch.randn(200, 2, generator=torch.Generator().manual_seed(1)) * (1 + LABEL[:, None])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Bent(torch.nn.Module):
    """A velocity that changes in state and time, and says where it was asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, x, t, condition=None):
        self.asked.append((x, t))
        return torch.sin(3 * x) + t[:, None]


def test_the_loss_is_that_of_the_change_along_the_step():
    adapted = Refiner(MLP(width=4)).adapted(Field(Bent(), Affine(), (2,), {}))
    pairs = Pairs(torch.randn(50, 2, generator=rng()), torch.randn(50, 2, generator=rng(1)))
    loss = VelocityRefinement(largest_step=0.5)(adapted, pairs, adapted.path, generator=rng(2))
    bent = adapted.network.frozen.network
    (x, t), (y, later) = bent.asked
    before = bent(x, t)
    torch.testing.assert_close(y, x + (later - t)[:, None] * before)
    step = (later - t)[later < 1]
    assert (
        ((later <= 1) & (later >= t)).all() and 0 < float(step.max()) <= 0.5 and float(step.max() - step.min()) < 1e-6
    )
    # a refiner starts at zero: nothing of the change is explained
    torch.testing.assert_close(loss.per_sample, (bent(y, later) - before).square().mean(1))
    assert float(loss.terms["unexplained"]) == pytest.approx(1)
    torch.testing.assert_close(adapted.refined(y, later, before), before)


def test_only_the_refiner_learns_and_it_learns():
    torch.manual_seed(0)
    adapted = Refiner(MLP(width=32, depth=2)).adapted(Field(Bent(), Affine(), (2,), {}))
    trained = [name for name, parameter in adapted.named_parameters() if parameter.requires_grad]
    assert trained and all(name.startswith("network.change") for name in trained)
    optimiser = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], 1e-2)
    objective, generator = VelocityRefinement(), rng()
    for _ in range(150):
        pairs = Pairs(torch.randn(128, 2, generator=generator), torch.randn(128, 2, generator=generator))
        loss = objective(adapted, pairs, adapted.path, generator=generator)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
    assert float(loss.terms["unexplained"]) < 0.5


def test_images_labels_and_weights():
    schema = {"label": Column(("a", "b"))}
    field = Field(DiT(width=32, depth=1), Affine(VP()), (1, 4, 4), schema)
    torch.nn.init.normal_(field.network.last.weight)
    adapted = Refiner(DiT(width=32, depth=1)).adapted(field)
    weight = torch.tensor([1.0, 0.0, 0.0])
    pairs = Pairs(torch.randn(3, 1, 4, 4), torch.randn(3, 1, 4, 4), {"label": torch.tensor([0, 1, -1])}, weight)
    loss = VelocityRefinement(condition_dropout=0.5)(adapted, pairs, adapted.path, generator=rng())
    torch.testing.assert_close(loss.total.detach(), loss.per_sample[0])


def test_fit_saves_loads_and_resumes(tmp_path):
    trainer = Trainer(steps=20, batch_size=64, warmup=0, learning_rate=1e-2, ema=0)
    teacher = pf.fit("gaussian", X1, condition=LABEL, network=MLP(width=16, depth=2), trainer=trainer)

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
        return pf.fit(
            "gaussian", X1, condition=LABEL, init=teacher, adapter=Refiner(MLP(width=8)), trainer=trainer,
            objective=VelocityRefinement(), solver=Program("H1P2R2"), out=out, resume=resume,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(5, 2, generator=rng())
    torch.testing.assert_close(again.push(x, LABEL[:5]), whole.push(x, LABEL[:5]), rtol=0, atol=0)
    assert again.solve(x, LABEL[:5]).evaluations == 4
    torch.testing.assert_close(
        again.push(x, LABEL[:5], steps=5, method="heun"), teacher.push(x, LABEL[:5], steps=5, method="heun")
    )
    assert "zhao2024flowturbo" in pf.cite(Refiner())


def test_from_the_command_line(tmp_path):
    first, out = str(tmp_path / "teacher"), str(tmp_path / "run")
    small = ["--trainer.steps", "2", "--network", "MLP", "--network.width", "8"]
    assert main(["fit", "gaussian", "moons-torchdyn", "--out", first, *small]) == 0
    words = ["fit", "gaussian", "moons-torchdyn", "--init", first, "--out", out, "--trainer.steps", "2"]
    refiner = ["--adapter", "Refiner", "--objective", "VelocityRefinement", "--solver", "Program"]
    assert main([*words, *refiner, "--solver.program", "H1P1R1"]) == 0
    assert pf.load(out).push(torch.zeros(2, 2)).shape == (2, 2)


def test_what_does_not_fit_says_so():
    for options in ({"largest_step": 0.0}, {"condition_dropout": 2.0}):
        with pytest.raises(InputError, match="VelocityRefinement needs"):
            VelocityRefinement(**options)
    with pytest.raises(InputError, match="adapter Refiner"):
        pf.fit("gaussian", X1, objective=VelocityRefinement(), trainer=Trainer(steps=1))
    with pytest.raises(InputError, match="transforms"):
        Refiner().adapted(Field(MLP(width=8), Affine(data_std=1.0), (2,), {}))
