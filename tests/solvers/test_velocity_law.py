"""Velocity laws in closed form, and the solvers that draw from them."""

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, VelocityOracle, ring
from pushforward.metrics import energy_distance
from pushforward.paths import CondOT, LinearVP, Trig
from pushforward.solvers import Cosine, FixedStep, NestedSampler, choose_solver

SKEW = GaussianMixture([[2.0, 0.0], [-1.0, 1.0]], [[[0.5, 0.2], [0.2, 0.3]], [[0.1, 0.0], [0.0, 1.0]]], [0.3, 0.7])
SOURCE = Gaussian(torch.tensor([0.5, -0.5]), torch.tensor([[1.0, 0.3], [0.3, 0.8]]))


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("schedule", [CondOT(), Trig(), LinearVP()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("time", [0.0, 0.4, 0.8])
def test_law_has_the_mean_of_the_field_and_the_density_of_bayes(schedule, time):
    """`p(v | x)` must be the joint density of the two ends that v and x fix, over the density of x."""
    law, field = VelocityOracle(SOURCE, SKEW, schedule), AffineOracle(SOURCE, SKEW, schedule)
    x = torch.tensor([[0.7, -0.2]], dtype=torch.float64).expand(200_000, 2)
    t = torch.full((len(x),), time, dtype=torch.float64)
    v = law.sample(x, t, generator=gen())
    assert torch.allclose(v.mean(0), field.velocity(x[:1], t[:1])[0], atol=0.015)
    assert torch.equal(law.mean(x[:1], t[:1]), field.velocity(x[:1], t[:1]))
    x, t, v = x[:50], t[:50], v[:50]
    c = schedule(t)
    delta = c.delta[:, None]
    x1 = (c.sigma[:, None] * v - c.d_sigma[:, None] * x) / delta
    x0 = (c.d_alpha[:, None] * x - c.alpha[:, None] * v) / delta
    exact = SOURCE.log_prob(x0) + SKEW.log_prob(x1) - 2 * delta[:, 0].log() - field.log_prob(x, t)
    assert torch.allclose(law.log_prob(v, x, t), exact, atol=1e-9)


@pytest.mark.parametrize("schedule", [CondOT(), Trig(), LinearVP()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_exact_law_gives_the_exact_target_at_any_number_of_steps(schedule, steps):
    law, x = VelocityOracle(SOURCE, SKEW, schedule), SOURCE.sample(4000, generator=gen(1))
    target = SKEW.sample(4000, generator=gen(2))
    drawn = NestedSampler(steps).solve(law, x, generator=gen(3)).x
    assert energy_distance(drawn, target, estimator="unbiased") < 0.004
    if steps == 1:  # the mean is far off
        assert energy_distance(FixedStep("euler", steps).solve(law, x).x, target, estimator="unbiased") > 0.05


def test_states_on_the_way_and_backwards_have_their_laws():
    law, field = VelocityOracle(SOURCE, SKEW, CondOT()), AffineOracle(SOURCE, SKEW, CondOT())
    x = SOURCE.sample(4000, generator=gen(1))
    path = NestedSampler(3).solve(law, x, nodes=torch.tensor([0.0, 0.6, 1.0]), generator=gen(2)).path
    halfway = field.sample(4000, 0.6, generator=gen(3))
    assert energy_distance(path[1], halfway, estimator="unbiased") < 0.004
    back = NestedSampler(2).solve(law, SKEW.sample(4000, generator=gen(4)), start=1.0, end=0.0, generator=gen(5)).x
    assert energy_distance(back, SOURCE.sample(4000, generator=gen(6)), estimator="unbiased") < 0.004


def test_isotropic_law_is_the_same_as_a_batch_of_mixtures():
    law = VelocityOracle(Gaussian.standard(2), ring(), CondOT())
    x, t = torch.randn(40, 2, generator=gen()).double(), torch.rand(40, generator=gen()).double()
    mixture, v = law.mixture(x, t), law.sample(x, t, generator=gen(1))
    assert torch.allclose(mixture.mean(), law.mean(x, t), atol=1e-9)
    assert torch.allclose(mixture.log_prob(v), law.log_prob(v, x, t), atol=1e-9)
    with pytest.raises(InputError, match="isotropic"):
        VelocityOracle(SOURCE, SKEW, CondOT()).mixture(x, t)


def test_many_draws_approach_the_flow_of_their_mean():
    law = VelocityOracle(SOURCE, SKEW, CondOT())
    x = torch.tensor([[0.3, -1.0]]).expand(2000, 2).clone()
    mapped = AffineOracle(SOURCE, SKEW, CondOT()).flow_map(x[:1], 0.0, 0.5)
    few, many = (NestedSampler(n).solve(law, x, end=0.5, generator=gen()).x for n in (1, 64))
    assert (many - mapped).square().mean() < 0.05 * (few - mapped).square().mean()


def test_drawing_needs_a_law():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match="does not hold the law"):
        NestedSampler().solve(AffineOracle(SOURCE, SKEW, CondOT()), x)


def test_users_change_the_steps_or_the_grid_and_keep_the_solver():
    default = NestedSampler(4)
    assert choose_solver(default, steps=7) == NestedSampler(7)
    assert choose_solver(default, grid=Cosine()) == NestedSampler(4, Cosine())
    assert choose_solver(default, method="euler") == FixedStep("euler", 4)
    assert build(describe(default)) == default
    with pytest.raises(InputError, match="positive integer"):
        NestedSampler(0)
