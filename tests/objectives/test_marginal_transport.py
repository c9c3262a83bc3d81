"""Velocity matching and velocity distillation, held against flows between Gaussians."""

from types import SimpleNamespace

import pytest
import torch
from tests.helpers import PerturbedMap
from torch import nn

from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import Field
from pushforward.objectives import EulerianTarget, Fixed, MarginalTransport, Taught
from pushforward.paths import VP, Affine, CondOT

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([2.0, -1.0]).double(), torch.diag(torch.tensor([0.09, 4.0])).double())


def taught(schedule=None, target=TARGET) -> Taught:
    return Taught().prepared(SimpleNamespace(teacher=AffineOracle(SOURCE, target, schedule or CondOT())))


def pairs(n: int = 2000, seed: int = 0) -> Pairs:
    g = torch.Generator().manual_seed(seed)
    return Pairs(SOURCE.sample(n, generator=g), TARGET.sample(n, generator=g), gaussian_source=True)


class ToEnd(PerturbedMap):
    """The perturbed map, of which the way to the end is asked."""

    def forward(self, x, t, condition=None):
        return self.mean_velocity(x, t, torch.ones_like(t))


def gradient(objective: MarginalTransport, schedule=None) -> torch.Tensor:
    schedule = schedule or CondOT()
    network = ToEnd(AffineOracle(SOURCE, TARGET, schedule).mean_velocity)
    field = Field(network, Affine(schedule), (2,), {})
    loss = objective(field, pairs(), field.path, generator=torch.Generator().manual_seed(1)).total
    return torch.autograd.grad(loss, network.theta)[0]


@pytest.mark.parametrize("schedule", [CondOT(), VP()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)], ids=str)
def test_the_way_to_the_end_is_where_both_come_to_rest(weights, schedule):
    assert gradient(MarginalTransport(*weights, taught=taught(schedule)), schedule).norm() < 1e-5


def test_damping_moves_the_fixed_point():
    """The authors' normalised derivative damps the correction: another fixed point, so that it is not the default."""
    damped = EulerianTarget(damping=0.1)
    assert gradient(MarginalTransport(distillation=0.0, taught=taught(), target=damped)).norm() > 0.1
    assert MarginalTransport().target.damping is None
    with pytest.raises(InputError, match="positive"):
        EulerianTarget(damping=0.0)


class Shifted(nn.Module):
    """The way to the end of the flow from N(0, I) to N(b, I): `U = (b + (x - t b) / sigma_t - x) / (1 - t)`."""

    def __init__(self, b: float) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.full((2,), b).double())

    def forward(self, x, t, condition=None):
        t = t[:, None]
        deviation = (t.square() + (1 - t).square()).sqrt()
        return (self.b + (x - t * self.b) / deviation - x) / (1 - t)


def shifted(b: float = 0.7) -> Field:
    return Field(Shifted(b), Affine(), (2,), {})


@pytest.mark.parametrize("t", [0.3, 0.7])
def test_distillation_points_from_the_teacher(t):
    """In closed form: the velocities are `b (1 - t (2 t - 1) / sigma_t^2)` apart at every state, `sigma_t^2 = t^2 +
    (1 - t)^2`, and the gap is that times the Jacobian `1 / sigma_t` of the way left.
    """
    field, batch = shifted(), pairs()
    objective = MarginalTransport(0.0, 1.0, taught(target=SOURCE), Fixed(t))
    gap = objective._gap(field, batch.x0 + 0.7, batch, field.path, torch.Generator().manual_seed(0))
    variance = t**2 + (1 - t) ** 2
    wanted = 0.7 * (1 - t * (2 * t - 1) / variance) / variance**0.5
    torch.testing.assert_close(gap, torch.full_like(gap, wanted))


def test_distillation_brings_the_generator_to_the_teacher():
    field, g = shifted(), torch.Generator().manual_seed(0)
    objective = MarginalTransport(0.0, 1.0, taught(target=SOURCE))
    b = field.network.get_parameter("b")
    for _ in range(200):
        loss = objective(field, pairs(64), field.path, generator=g)
        b.data -= 0.1 * torch.autograd.grad(loss.total, b)[0]
    assert b.detach().abs().max() < 0.05
    assert set(loss.terms) == {"distillation"}


def test_mistakes_and_descriptions():
    assert build(describe(MarginalTransport(0.5))) == MarginalTransport(0.5)
    field, batch = shifted(), Pairs(pairs(8).x0, pairs(8).x1)
    with pytest.raises(InputError, match="source is noise"):
        MarginalTransport(taught=taught())(field, batch, field.path)
    assert torch.isfinite(MarginalTransport(distillation=0.0, taught=taught())(field, batch, field.path).total)
    with pytest.raises(InputError, match="not both 0"):
        MarginalTransport(0.0, 0.0)
    with pytest.raises(InputError, match="no flow yet"):
        MarginalTransport()(field, pairs(8), field.path)
