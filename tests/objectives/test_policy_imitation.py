"""Imitation of a flow by policies: the exact policy has no loss, and segments and times are what was asked for."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, MixtureBatch, VelocityOracle, ring
from pushforward.networks import MLP, DataGrid, Field, MixtureHead, MixtureLaw
from pushforward.objectives import Held, PolicyImitation, Sigmoidal, Taught
from pushforward.paths import Affine, CondOT
from pushforward.solvers import PolicySteps, Shifted

NOISE = Gaussian.standard(2)
ORACLE, LAW = AffineOracle(NOISE, ring(), CondOT()), VelocityOracle(NOISE, ring(), CondOT())
TAUGHT = Taught().prepared(SimpleNamespace(teacher=ORACLE))


class Known(MixtureLaw):
    """The exact law of the velocity, its means shifted by theta."""

    def __init__(self):
        super().__init__(nn.Identity(), 8, 2)
        self.theta = nn.Parameter(torch.zeros(2).double())

    def mixture(self, x, t, condition=None):
        exact = LAW.mixture(x, t)
        return MixtureBatch(exact.log_weight, exact.means + self.theta, exact.variance)


def pairs(n: int, seed: int = 0) -> Pairs:
    g = torch.Generator().manual_seed(seed)
    return Pairs(NOISE.sample(n, generator=g).double(), ring().sample(n, generator=g).double(), gaussian_source=True)


@pytest.mark.parametrize("budgets", [(1,), (2, 4)])
def test_the_exact_policy_is_where_it_comes_to_rest(budgets):
    field, g = Field(Known(), Affine(), (2,), {}), torch.Generator().manual_seed(1)
    objective = PolicyImitation(budgets, taught=TAUGHT, dropout=0.0, substeps=32)
    theta = field.network.get_parameter("theta")
    exact = objective(field, pairs(500), field.path, generator=g)
    assert exact.total < 1e-12 and torch.autograd.grad(exact.total, theta)[0].norm() < 1e-5
    assert exact.per_sample is not None and exact.per_sample.shape == (500,)
    theta.data.fill_(0.1)
    off = objective(field, pairs(500), field.path, generator=g)
    assert off.total > 1e-3 and (torch.autograd.grad(off.total, theta)[0] > 0.01).all()


def test_segments_and_times():
    """Each budget is drawn equally often, and times lie in their segments, as many as asked for."""
    objective = PolicyImitation((1, 4), grid=Shifted(2.0), times=3, substeps=16)
    s, e = objective._segments(torch.zeros(8000, 2), torch.Generator().manual_seed(0))
    whole = (s == 0) & (e == 1)
    assert abs(float(whole.double().mean()) - 0.5) < 0.03
    nodes = Shifted(2.0)(4).nodes.float()
    assert set(e[~whole].unique().tolist()) == set(nodes[1:].tolist()) and (e > s).all()
    field = Field(Known(), Affine(), (2,), {})
    x, t0 = pairs(50).x0, torch.zeros(50).double()
    policy = field.network.policy(x, t0, t0 + 1, CondOT())
    states, times = objective._followed(policy, x, t0, t0 + 0.6, None, torch.Generator().manual_seed(0))
    assert len(states) == len(times) == 3 and not states[0].requires_grad
    for part, t in enumerate(times):
        assert (t >= 0.2 * part).all() and (t <= 0.2 * (part + 1)).all()


def test_mixed_whole_the_states_are_those_of_the_teachers_euler_steps():
    """At rho = 1 each leg of the way is one step of the flow; at 0, the default, there is none of it, and half way in
    between the flow takes the first half of each leg.
    """
    field, x, s = Field(Known(), Affine(), (2,), {}), pairs(50).x0, torch.full((50,), 0.1).double()
    field.network.get_parameter("theta").data.fill_(0.5)
    policy = field.network.policy(x, s, s + 0.7, CondOT())
    plain = PolicyImitation(taught=TAUGHT, times=3, substeps=16, dropout=0.0, mixing=Sigmoidal(end=0.2))

    def followed(progress):
        return plain.at(progress)._followed(policy, x, s, s + 0.7, None, torch.Generator().manual_seed(0))

    states, times = followed(0.0)
    here, now = x, s
    for state, time in zip(states, times, strict=True):
        here = here + (time - now)[:, None] * ORACLE.velocity(here, now)
        assert torch.equal(state, here)
        now = time
    unmixed = replace(plain, mixing=Held(0.0), taught=Taught())  # which asks no flow on the way
    own, _ = unmixed._followed(policy, x, s, s + 0.7, None, torch.Generator().manual_seed(0))
    assert all(torch.equal(one, other) for one, other in zip(followed(0.2)[0], own, strict=True))
    assert (own[0] - states[0]).abs().max() > 0.01
    half = followed(0.1)[0][0]
    turn = torch.lerp(s, times[0], 0.5)
    there = policy.carried(x + (turn - s)[:, None] * ORACLE.velocity(x, s), turn, times[0], round(16 * 0.7 / 3))
    torch.testing.assert_close(half, there)


def test_weights_and_masks_count():
    field, g = Field(DataGrid(3, MLP(width=8)), Affine(), (2,), {}), lambda: torch.Generator().manual_seed(0)
    batch = Pairs(*(x.float() for x in (pairs(8).x0, pairs(8).x1)))
    objective = PolicyImitation(taught=TAUGHT, substeps=8)
    whole = objective(field, batch, field.path, generator=g())
    assert whole.per_sample is not None
    weight = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 1.0])
    some = Pairs(batch.x0, batch.x1, weight=weight)
    found = objective(field, some, field.path, generator=g()).total
    torch.testing.assert_close(found.detach(), whole.per_sample[[0, 7]].mean())


def test_mistakes_and_descriptions():
    assert build(describe(PolicyImitation((1, 2)))) == PolicyImitation((1, 2))
    mixed = PolicyImitation(mixing=Sigmoidal(end=0.2))
    assert build(describe(mixed)) == mixed
    assert PolicyImitation((2, 1)).sampler() == PolicySteps(2)
    field, batch = Field(MixtureHead(3, MLP(width=8)), Affine(), (2,), {}), Pairs(torch.randn(4, 2), torch.randn(4, 2))
    with pytest.raises(InputError, match="no flow yet"):
        PolicyImitation()(field, batch, field.path)
    plain = Field(MLP(width=8), Affine(), (2,), {})
    with pytest.raises(InputError, match="says no policies"):
        PolicyImitation(taught=TAUGHT)(plain, batch, plain.path)
    for bad in ({"budgets": ()}, {"times": 0}, {"dropout": 1.0}):
        with pytest.raises(InputError):
            PolicyImitation(**bad)
