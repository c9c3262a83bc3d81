"""Divergence, log-densities with gradients, and stochastic sampling, against closed forms."""

import sys
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, gaussian_oracle, mixture_oracle, points

from pushforward.errors import InputError
from pushforward.measures import Gaussian, InterpolantOracle
from pushforward.paths import Interpolant, QuadraticGamma
from pushforward.solvers import (
    SDE,
    Bump,
    Constant,
    DormandPrince,
    FixedStep,
    Vanishing,
    divergence,
    kl_bound,
    log_density,
    rademacher,
)

A = torch.tensor([[0.5, 1.0, 0.0], [-2.0, 0.3, 0.7], [0.1, 0.0, -0.4]], dtype=F64)


def standard_normal(x):
    return torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)


def test_divergence_of_linear_nonlinear_and_constant_fields():
    x = points(4, 3)
    value, exact = divergence(lambda x: x @ A.T, x)
    assert torch.allclose(value, x @ A.T)
    assert torch.allclose(exact, A.trace().expand(4))
    noise = rademacher(x, 5, generator=torch.Generator().manual_seed(0))
    estimate = divergence(lambda x: x @ A.T, x, noise=noise)[1]
    assert torch.allclose(estimate, torch.einsum("pbi,ij,pbj->b", noise, A, noise) / 5)
    images = points(2, 30).view(2, 2, 3, 5)
    assert torch.allclose(divergence(lambda x: x**3, images)[1], 3 * (images**2).flatten(1).sum(1))
    assert divergence(lambda x: torch.ones_like(x), x)[1].abs().max() == 0
    assert divergence(lambda x: torch.ones_like(x) * x.detach(), x, probes=2)[1].abs().max() == 0
    with pytest.raises(InputError, match="probes"):
        rademacher(x, 0)


def test_divergence_is_differentiable_again_only_when_asked():
    x, w = points(3, 2).requires_grad_(), torch.tensor(1.5, dtype=F64, requires_grad=True)
    noise = rademacher(x, 2, generator=torch.Generator().manual_seed(0))
    for probe in (None, noise):
        assert gradcheck(
            lambda x, w, n=probe: divergence(lambda z: torch.sin(w * z) * z.sum(1, True), x, noise=n)[1], (x, w)
        )
    with torch.no_grad():
        value, trace = divergence(lambda z: torch.sin(w * z), x)
    assert not value.requires_grad
    assert not trace.requires_grad


@pytest.mark.parametrize("oracle", [gaussian_oracle(), mixture_oracle()], ids=["gaussian", "mixture"])
def test_exact_log_density(oracle):
    y = oracle.sample(16, 1.0, generator=torch.Generator().manual_seed(0))
    exact = oracle.log_prob(y, torch.ones(16, dtype=F64))
    field = Counting(oracle)
    with torch.no_grad():
        density = log_density(field, y, standard_normal, solver=DormandPrince(1e-6))
        fixed = log_density(oracle, y, standard_normal, solver=FixedStep("rk4", 32))
    assert (density.log_prob - exact).abs().max() < 1e-4
    assert (fixed.log_prob - exact).abs().max() < 1e-3
    assert density.evaluations == field.calls
    assert (FixedStep("rk4", 32).solve(oracle, density.x0).x - y).abs().max() < 1e-2


def test_hutchinson_log_density():
    oracle = mixture_oracle()
    y = oracle.sample(16, 1.0, generator=torch.Generator().manual_seed(0))
    exact = oracle.log_prob(y, torch.ones(16, dtype=F64))
    with torch.no_grad():
        estimate, again = (
            log_density(
                oracle,
                y,
                standard_normal,
                solver=FixedStep("rk4", 12),
                probes=256,
                generator=torch.Generator().manual_seed(1),
            ).log_prob
            for _ in range(2)
        )
    assert ((estimate - exact).abs().mean() / exact.abs().mean()) < 0.02
    assert torch.equal(estimate, again)


@pytest.mark.parametrize("solver", [FixedStep("rk4", 20), DormandPrince(1e-7)], ids=["fixed", "adaptive"])
@pytest.mark.parametrize("probes", [None, 4])
def test_log_density_has_gradients_in_points_parameters_and_base(solver, probes):
    """For `v = w x` the density is that of N(m, e^{2w}): `log p = log N(y e^{-w}; m, 1) - n w` for any probes."""
    w = torch.tensor(0.4, dtype=F64, requires_grad=True)
    m = torch.tensor(0.3, dtype=F64, requires_grad=True)
    y = points(5, 3).requires_grad_()
    out = log_density(Flow(lambda x, t, c: w * x), y, lambda x: standard_normal(x - m), solver=solver, probes=probes)
    closed = standard_normal(y * torch.exp(-w) - m) - 3 * w
    assert torch.allclose(out.log_prob, closed, atol=1e-6)
    ours = torch.autograd.grad(out.log_prob.sum(), (y, w, m))
    for a, b in zip(ours, torch.autograd.grad(closed.sum(), (y, w, m)), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_log_density_of_conditional_images_follows_its_rows():
    field = Flow(lambda x, t, c: c["rate"].view(-1, 1, 1, 1) * x)
    y, rate = points(3, 8).view(3, 2, 2, 2), torch.tensor([0.1, 1.0, 3.0], dtype=F64)
    with torch.no_grad():
        out = log_density(field, y, standard_normal, solver=DormandPrince(1e-8), condition={"rate": rate}, probes=2)
    assert torch.allclose(out.log_prob, standard_normal(y * torch.exp(-rate).view(-1, 1, 1, 1)) - 8 * rate, atol=1e-5)


@pytest.mark.parametrize("rule", [Constant(0.5), Bump(1.0)], ids=repr)
@pytest.mark.parametrize("oracle", [gaussian_oracle(), mixture_oracle()], ids=["gaussian", "mixture"])
def test_log_density_along_random_paths(oracle, rule):
    """The exact field gives the exact density on every path, up to an error that falls like the step's root."""
    y = oracle.sample(400, 1.0, generator=torch.Generator().manual_seed(0))
    exact = oracle.log_prob(y, torch.ones(400, dtype=F64))
    errors = []
    for steps in (25, 100):
        field, solver = Counting(oracle), SDE("euler-maruyama", steps, rule)
        with torch.no_grad():
            found = log_density(field, y, standard_normal, solver=solver, generator=torch.Generator().manual_seed(1))
        errors.append(found.log_prob - exact)
        assert found.evaluations == field.calls == 2 * steps
    assert abs(errors[1].mean()) < 0.06 and errors[1].std() < 0.5
    assert errors[1].std() < 0.7 * errors[0].std()
    with torch.no_grad():
        mean = log_density(oracle, y, standard_normal, solver=SDE("euler-maruyama", 25, rule), paths=4).log_prob
    assert (mean - exact).std() < 0.7 * errors[0].std()


def test_log_density_along_random_paths_estimates_the_divergence_too():
    oracle, y = gaussian_oracle(), points(200)
    generator, solver = torch.Generator(), SDE("euler-maruyama", 100, Constant(0.2))
    with torch.no_grad():
        exact, estimated = (
            log_density(
                oracle, y, standard_normal, solver=solver, probes=n, generator=generator.manual_seed(0)
            ).log_prob
            for n in (None, 64)
        )
    assert 0 < (exact - estimated).abs().mean() < 0.2
    assert abs((exact - estimated).mean()) < 0.05


def test_density_refuses_inference_mode():
    with torch.inference_mode(), pytest.raises(InputError, match="no_grad"):
        log_density(gaussian_oracle(), points(2), standard_normal, solver=FixedStep())


@pytest.mark.parametrize("level", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("method, steps", [("euler-maruyama", 100), ("stochastic-heun", 60)])
def test_marginals_do_not_depend_on_the_diffusion(method, steps, level):
    oracle, generator = gaussian_oracle(), torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 2, generator=generator, dtype=F64)
    for rule in (Vanishing(level), Bump(level))[: 1 + (method == "stochastic-heun" and level == 0.5)]:
        out = SDE(method, steps, rule).solve(oracle, x, generator=generator, nodes=[0.6, 1.0])
        ends = oracle.target.covariance.diagonal()
        deviation = torch.stack([(0.4**2 + 0.6**2 * ends).sqrt(), ends.sqrt()])
        assert (out.path.std(1) / deviation - 1).abs().max() < 0.03
        assert (out.path[1].mean(0) - oracle.target.mean).abs().max() < 0.05


@pytest.mark.parametrize("level", [0.1, 2.0])
@pytest.mark.parametrize("method, steps", [("euler-maruyama", 100), ("stochastic-heun", 60)])
def test_marginals_backwards_in_time(method, steps, level):
    oracle, generator = gaussian_oracle(), torch.Generator().manual_seed(0)
    y = oracle.target.sample(20_000, generator=generator)
    out = SDE(method, steps, Vanishing(level)).solve(
        oracle, y, start=1.0, end=0.0, nodes=[0.4, 0.0], generator=generator
    )
    deviation = torch.stack([(0.6**2 + 0.4**2 * oracle.target.covariance.diagonal()).sqrt(), torch.ones(2).double()])
    assert (out.path.std(1) / deviation - 1).abs().max() < 0.03
    assert out.path[1].mean(0).abs().max() < 0.05
    # far from deterministic: where a point came from is mostly forgotten at the larger level
    ode = FixedStep("rk4", 20).solve(oracle, y, start=1.0, end=0.0).x
    correlation = torch.corrcoef(torch.stack([out.x[:, 0], ode[:, 0]]))[0, 1]
    assert (correlation > 0.9) if level == 0.1 else (correlation < 0.7)


class Tilted:
    """The oracle with its velocity off by a constant and its score by a factor."""

    def __init__(self, oracle, offset, factor):
        self.oracle, self.offset, self.factor = oracle, offset, factor

    def velocity(self, x, t, condition=None):
        return self.oracle.velocity(x, t) + self.offset

    def score(self, x, t, condition=None):
        return self.factor * self.oracle.score(x, t)


@pytest.mark.parametrize("level", [0.2, 1.0, 5.0])
def test_the_bound_holds(level):
    """Source and target N(0, I), velocity off by a constant c: the bound is `|c|^2 / (2 eps^2)`, and the true
    divergence that of the means, since a Gaussian keeps its covariance.
    """
    normal = Gaussian(torch.zeros(2, dtype=F64))
    oracle = InterpolantOracle(normal, normal, Interpolant(gamma=QuadraticGamma(0.5)).coefficients)
    nodes, offset = torch.linspace(0.0, 1.0, 21), torch.tensor([0.3, -0.4], dtype=F64)
    states = [oracle.sample(2000, float(t)) for t in nodes]
    bound = kl_bound(oracle, Tilted(oracle, offset, 1.0), states, nodes, Constant(level))
    assert bound.value == pytest.approx(0.25 / (2 * level)) and bound.score_error == 0
    assert bound.velocity_error == pytest.approx(0.25) and bound.best_level == float("inf")
    generator = torch.Generator().manual_seed(0)
    x = normal.sample(10_000, generator=generator)
    end = SDE("euler-maruyama", 50, Constant(level)).solve(Tilted(oracle, offset, 1.0), x, generator=generator).x
    divergence_of_means = float(end.mean(0).square().sum()) / 2
    assert 0.1 * bound.value < divergence_of_means < bound.value
    both = kl_bound(oracle, Tilted(oracle, offset, 0.5), states, nodes, Constant(level))
    assert both.value <= both.velocity_error / level + level * both.score_error / 4
    assert both.best_level == pytest.approx(2 * (both.velocity_error / both.score_error) ** 0.5)


def test_the_bound_refuses_what_it_cannot_bound():
    oracle = gaussian_oracle()
    nodes = torch.tensor([0.0, 0.5, 1.0])
    with pytest.raises(InputError, match="vanishes at t = 1"):
        kl_bound(oracle, oracle, [points(4)] * 3, nodes, Vanishing())
    with pytest.raises(InputError, match="one for each"):
        kl_bound(oracle, oracle, [points(4)] * 2, nodes, Constant())


def test_stochastic_costs_seeds_and_limits():
    oracle, x = gaussian_oracle(), points(16)
    seeded = lambda s: torch.Generator().manual_seed(s)  # noqa: E731
    for method, drifts in (("euler-maruyama", 1), ("stochastic-heun", 2)):
        field = Counting(oracle)
        solver = SDE(method, 5, Constant(0.3))
        out = solver.solve(field, x, generator=seeded(0))
        assert out.evaluations == field.calls == drifts * (4 * 2 + 1)  # the last step needs no score
        assert torch.equal(out.x, solver.solve(oracle, x, generator=seeded(0)).x)
        assert not torch.equal(out.x, solver.solve(oracle, x, generator=seeded(1)).x)
        quiet = SDE(method, 5, Constant(0.0)).solve(oracle, x).x
        assert torch.allclose(quiet, FixedStep("euler" if drifts == 1 else "heun", 5).solve(oracle, x).x)


def test_a_field_that_gives_both_at_once_is_called_once_per_drift():
    class Joint(Counting):
        def velocity_and_score(self, x, t, condition=None):
            self.calls += 1
            return self.field.velocity(x, t), self.field.score(x, t)

    field, x = Joint(gaussian_oracle()), points(16)
    out = SDE("stochastic-heun", 5).solve(field, x, generator=torch.Generator().manual_seed(0))
    assert out.evaluations == field.calls == 10
    twice = SDE("stochastic-heun", 5).solve(gaussian_oracle(), x, generator=torch.Generator().manual_seed(0))
    assert torch.equal(out.x, twice.x)
