"""c-rectified flow against linear algebra: two Gaussians whose covariances do not commute."""

import pytest
import torch

import pushforward as pf
from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.metrics import bures_wasserstein2
from pushforward.networks import MLP, Field, GradientOf
from pushforward.objectives import FenchelYoungMatching, FlowMatching
from pushforward.paths import Affine
from pushforward.recipes.potential_flow import gaussian_rounds
from pushforward.training import Trainer

S0 = torch.tensor([[2.0, 0.9], [0.9, 0.6]], dtype=torch.float64)
S1 = torch.tensor([[0.5, -0.3], [-0.3, 1.5]], dtype=torch.float64)
COSTS = [SquaredEuclidean(), PNorm(2, 4), PNorm(3, 1.5)]
SCHEMA = {"k": Column(("a", "b"))}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def awake(network):
    torch.manual_seed(0)
    field = Field(network, Affine(), (3,), SCHEMA)
    for parameter in field.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return field.double()


def pairs_of(n=40, weight=None):
    x0, x1 = (torch.randn(n, 3, generator=rng(s), dtype=torch.float64) for s in (0, 1))
    return Pairs(x0, x1, {"k": torch.arange(n) % 2}, weight)


def test_potentials_come_to_rest_at_optimal_transport_and_free_velocities_do_not():
    """In closed form: independent pairs, then round after round."""
    optimal = float(bures_wasserstein2(S0, S1))
    assert optimal == pytest.approx(1.51799, abs=5e-6)
    free, potential = (gaussian_rounds(S0, S1, 5, potential=p) for p in (False, True))
    assert free[0] == potential[0] == pytest.approx(float(S0.trace() + S1.trace()), abs=1e-9)
    assert free[1:] == pytest.approx([1.54895] * 5, abs=1e-5)
    assert potential[1:5] == pytest.approx([1.51979, 1.51810, 1.51800, 1.51799], abs=1e-5)
    assert potential[5] == pytest.approx(optimal, abs=1e-5)


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("weight", [None, torch.arange(1.0, 41).double()], ids=["even", "weighted"])
def test_loss_is_the_fenchel_young_gap_of_velocity_and_momentum(cost, weight):
    objective = FenchelYoungMatching(cost)
    for network in (MLP(width=16), GradientOf(MLP(width=16), cost)):
        field, pairs = awake(network), pairs_of(weight=weight)
        loss = objective(field, pairs, field.path, generator=rng())
        t = objective.time.sample(40, generator=rng(), dtype=torch.float64).label
        x, v = torch.lerp(pairs.x0, pairs.x1, t[:, None]), pairs.x1 - pairs.x0
        guess = field.velocity(x, t, pairs.condition)
        p = cost.gradient(guess)  # the Bregman divergence of h from the guess to v
        gaps = (cost.of(v) - cost.of(guess) - ((v - guess) * p).sum(1)) / 3
        torch.testing.assert_close(loss.per_sample, gaps, rtol=1e-6, atol=1e-9)
        w = torch.ones(40) if weight is None else weight
        assert float(loss.total.detach()) == pytest.approx(float((w * gaps).sum().detach() / w.sum()), rel=1e-6)
        assert build(describe(objective)) == objective and "2209.14577" in pf.cite(objective)


def test_squared_distance_is_flow_matching():
    field, pairs = awake(MLP(width=16)), pairs_of()
    ours, theirs = (
        objective(field, pairs, field.path, generator=rng()).total
        for objective in (FenchelYoungMatching(), FlowMatching())
    )
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_velocity_is_the_gradient_seen_through_the_cost(cost):
    field = awake(GradientOf(MLP(width=16), cost))
    x, t, k = (
        torch.randn(5, 3, generator=rng(), dtype=torch.float64),
        torch.rand(5).double(),
        {"k": torch.arange(5) % 2},
    )
    with torch.no_grad():
        velocity = field.velocity(x, t, k)
    assert not velocity.requires_grad
    momentum = cost.gradient(velocity)
    step = 1e-5
    for entry in range(3):
        moved = torch.zeros(3, dtype=torch.float64)
        moved[entry] = step
        f = [field.network.network(x + sign * moved, t, k).sum(1) for sign in (1, -1)]
        torch.testing.assert_close(momentum[:, entry], (f[0] - f[1]).detach() / (2 * step), rtol=1e-5, atol=1e-6)
    jacobian = torch.autograd.functional.jacobian(
        lambda y: field.network.momentum(y, t[:1], {"k": k["k"][:1]})[0], x[:1]
    )
    torch.testing.assert_close(jacobian[:, 0], jacobian[:, 0].mT)  # a gradient has a symmetric derivative


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_training_moves_every_parameter_from_the_first_step_on(cost):
    torch.manual_seed(0)
    field = Field(GradientOf(MLP(width=8), cost), Affine(), (3,), SCHEMA).double()
    for _ in range(2):  # the last layer begins at zero
        FenchelYoungMatching(cost)(field, pairs_of(), field.path, generator=rng()).total.backward()
        gradients = [parameter.grad for parameter in field.parameters()]
        assert all(g is None or g.isfinite().all() for g in gradients) and any(
            g is not None and g.any() for g in gradients
        )
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 0.01 * torch.randn(parameter.shape, generator=rng(), dtype=torch.float64)
    assert all(g is not None and g.any() for name, g in zip(dict(field.named_parameters()), gradients, strict=True)
               if "last.bias" not in name)  # fmt: skip


def test_fits_saves_loads_and_tells_densities(tmp_path):
    cost, x1 = PNorm(2, 4), torch.randn(100, 2) + 2
    trainer = Trainer(steps=5, batch_size=16, warmup=0)
    flow = pf.fit(
        "gaussian", x1, network=GradientOf(MLP(width=8), cost), objective=FenchelYoungMatching(cost), trainer=trainer,
        out=tmp_path / "run",
    )  # fmt: skip
    again = pf.load(tmp_path / "run")
    assert torch.equal(again.push(x1, steps=4), flow.push(x1, steps=4)) and again.log_prob(x1[:5]).isfinite().all()


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match="not strictly convex"):
        GradientOf(cost=PNorm(1))
    field = awake(GradientOf(MLP(width=8)))
    with pytest.raises(InputError, match="the objective for PNorm"):
        FenchelYoungMatching(PNorm(2, 4))(field, pairs_of(), field.path)
    other = Field(MLP(width=8), Affine(), (3,), SCHEMA, "data").double()
    with pytest.raises(InputError, match="predicts velocity"):
        FenchelYoungMatching()(other, pairs_of(), other.path)
    with pytest.raises(InputError, match="cannot predict 2"):
        GradientOf().build((2,), {}, heads=2)
