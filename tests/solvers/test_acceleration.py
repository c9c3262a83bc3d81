"""Constant acceleration: exact in any number of steps, there and back, also where the initial velocity is wrong."""

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.cli import main
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.couplings import Matched
from pushforward.errors import InputError
from pushforward.networks import MLP, ClassifierFree, Field
from pushforward.objectives import AccelerationMatching
from pushforward.paths import Accelerated, Accelerating, Acceleration, Affine, CondOT, OnAccelerating
from pushforward.solvers import AccelerationSteps, Explicit, FixedStep
from pushforward.training import Trainer

SHIFT, STRETCH = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 3.0])
X0 = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
UNEQUAL = AccelerationSteps(None, Explicit((0, 0.2, 1)))
SHORT = Trainer(steps=4, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def end(x0):
    """Deterministic pairs, so that x0 tells everything."""
    return SHIFT + STRETCH * x0


class Velocity(nn.Module):
    """The velocity of the path of those pairs, times `wrong` and moved by it."""

    def __init__(self, h, wrong):
        super().__init__()
        self.schedule, self.wrong = Accelerating(h), wrong

    def forward(self, x, t, condition=None):
        alpha, _, speed, _ = (c[:, None] for c in self.schedule(t))
        x0 = (x - alpha * SHIFT) / (1 - alpha + alpha * STRETCH)
        return speed * self.wrong * (end(x0) - x0 + self.wrong - 1)


class Bend(nn.Module):
    """The acceleration that takes a point with that velocity to its end."""

    def __init__(self, h, wrong):
        super().__init__()
        self.h, self.wrong = h, wrong

    def forward(self, x, t, condition):
        initial = condition["initial velocity"]
        displacement = initial / self.h / self.wrong + 1 - self.wrong
        return 2 * (displacement - initial)


def exact(h=1.5, wrong=1.0):
    path = Affine(Accelerating(h))
    first = Field(Velocity(h, wrong), path, (2,), {})
    field = Acceleration(MLP(width=4)).adapted(Field(MLP(width=4), path, (2,), {}))
    field.network.frozen, field.network.bend = first, Bend(h, wrong)
    return field.double()


@pytest.mark.parametrize("h", [0.5, 1.0, 1.5, 1.9])
@pytest.mark.parametrize("solver", [AccelerationSteps(1), AccelerationSteps(3), UNEQUAL])
def test_exact_in_any_number_of_steps_there_and_back(h, solver):
    field, x0 = exact(h), X0.double()
    there = solver.solve(field, x0)
    torch.testing.assert_close(there.x, end(x0))
    assert there.evaluations == len(there.nodes)  # one for the initial velocity, one for each step
    torch.testing.assert_close(solver.solve(field, end(x0), start=1.0, end=0.0).x, x0)
    halfway = solver.solve(field, x0, nodes=[0.5]).path[0] if solver.steps == 3 else None
    if halfway is not None:
        torch.testing.assert_close(halfway, x0 + (h / 2 + (1 - h) / 4) * (end(x0) - x0))


def test_the_acceleration_makes_up_for_a_wrong_velocity():
    field, x0 = exact(wrong=1.3), X0.double()
    start = field.network.initial(x0, torch.zeros(300, dtype=torch.float64))
    assert (start - 1.5 * (end(x0) - x0)).abs().mean() > 0.5
    torch.testing.assert_close(AccelerationSteps(4).solve(field, x0).x, end(x0))
    pairs = Pairs(x0, end(x0))
    assert float(AccelerationMatching()(field, pairs, field.path, generator=rng()).total) < 1e-20
    field.network.bend = Bend(1.5, 1.0)  # that of a right velocity
    assert float(AccelerationMatching()(field, pairs, field.path, generator=rng()).total) > 0.1


def test_pairs_count_by_their_weights():
    field, x0 = exact(), X0.double()
    x1 = end(x0) + torch.where(torch.arange(300) % 2 == 0, 1.0, 0.0)[:, None]  # every other pair is another's
    pairs = Pairs(x0, x1, weight=(torch.arange(300) % 2).double())
    loss = AccelerationMatching()(field, pairs, field.path, generator=rng())
    assert float(loss.total) < 1e-20 and float(loss.terms["unexplained"]) > 0.01
    assert loss.per_sample is not None and loss.per_sample[::2].min() > 0.1


def crossing(n=64):
    side = torch.where(torch.arange(n) % 2 == 0, 1.0, -1.0)
    return torch.stack([-torch.ones(n), side], 1), torch.stack([torch.ones(n), -side], 1)


def fitted(x0, x1, steps=300, out=None, **options):
    pieces = {"network": MLP(width=32), "path": Affine(Accelerating())} if "init" not in options else {}
    trainer = options.pop("trainer", Trainer(steps=steps, batch_size=64, learning_rate=3e-3, warmup=0, ema=0.9))
    return pf.fit(x0, x1, coupling=Matched(), trainer=trainer, normalise="none", out=out, **pieces, **options)


SECOND = {"adapter": Acceleration(), "objective": AccelerationMatching(), "solver": AccelerationSteps(4)}


def test_pairs_that_cross_are_kept_apart():
    x0, x1 = crossing()
    flow = fitted(x0, x1, init=fitted(x0, x1), **SECOND)
    mean = float((flow.push(x0, steps=8, method="euler") - x1).square().sum(1).mean().sqrt())
    assert float((flow.push(x0) - x1).square().sum(1).mean().sqrt()) < 0.2 * mean


def test_saves_resumes_and_keeps_the_first_flow(tmp_path):
    x0, x1 = crossing()
    first = fitted(x0, x1, steps=3)
    whole = fitted(x0, x1, init=first, trainer=SHORT, out=tmp_path / "whole", **SECOND)
    half = Trainer(steps=2, batch_size=16, warmup=0, decay="constant", checkpoint_every=2)
    fitted(x0, x1, init=first, trainer=half, out=tmp_path / "parts", **SECOND)
    fitted(x0, x1, init=first, trainer=SHORT, out=tmp_path / "parts", resume=True, **SECOND)
    again, t = pf.load(tmp_path / "parts"), torch.full((64,), 0.3)
    assert torch.equal(again.push(x0), whole.push(x0)) and again.solver == AccelerationSteps(4)
    assert again.solve(x0).evaluations == 5
    assert torch.equal(again.field.velocity(x0, t), first.field.velocity(x0, t))
    piece = ClassifierFree(again.field, 2.0)
    with pytest.raises(InputError, match="leave out guidance"):
        AccelerationSteps().solve(piece, x0)
    assert build(describe(SECOND["adapter"])) == SECOND["adapter"] and "park2024constant" in pf.cite(
        AccelerationSteps()
    )


def test_goes_on_from_a_flow_on_another_path():
    flow = fitted(*crossing(), steps=3)
    straight = Field(flow.field.architecture, Affine(), (2,), {})
    moved, t = OnAccelerating(0.5).adapted(straight), torch.rand(64)
    assert moved.path == Affine(Accelerating(0.5)) and torch.equal(moved(X0[:64], t), straight(X0[:64], t))


def test_from_the_command_line(tmp_path):
    first, out = str(tmp_path / "first"), str(tmp_path / "run")
    words = ["fit", "two-gaussians", "moons-torchdyn", "--trainer.steps", "2"]
    path = ["--path", "Affine", "--path.schedule", "Accelerating", "--path.schedule.h", "0.8"]
    assert main([*words, *path, "--network", "MLP", "--network.width", "8", "--out", first]) == 0
    second = ["--adapter", "Acceleration", "--objective", "AccelerationMatching", "--solver", "AccelerationSteps"]
    assert main([*words, *second, "--init", first, "--solver.steps", "2", "--out", out]) == 0
    assert pf.load(out).solve(torch.zeros(2, 2)).evaluations == 3


def test_what_does_not_fit_says_so():
    x0, x1 = crossing()
    with pytest.raises(InputError, match="0 < h < 2"):
        Accelerating(2.0)
    with pytest.raises(InputError, match="condition_dropout is a probability"):
        AccelerationMatching(condition_dropout=2.0)
    with pytest.raises(InputError, match="schedule Accelerating"):
        Accelerated(Field(MLP(width=4), Affine(CondOT()), (2,), {}), MLP(width=4))
    with pytest.raises(InputError, match="the adapter Acceleration"):
        pf.fit(x0, x1, objective=AccelerationMatching(), trainer=SHORT)
    with pytest.raises(InputError, match="has no acceleration"):
        pf.fit(x0, x1, network=MLP(width=4), solver=AccelerationSteps(), trainer=SHORT).push(x0)
    masked = Pairs(x0, x1, mask=torch.ones_like(x0, dtype=torch.bool))
    with pytest.raises(InputError, match="without a mask"):
        AccelerationMatching()(exact().float(), masked, Affine())
    assert FixedStep("euler", 2).solve(exact(), X0.double()).x.isfinite().all()  # any other solver follows the mean
