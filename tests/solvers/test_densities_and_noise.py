"""Divergence, log-densities with gradients, and stochastic sampling, against closed forms."""

import sys
from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

sys.path.insert(0, str(Path(__file__).parent))
from oracles import F64, Counting, Flow, gaussian_oracle, mixture_oracle, points

from pushforward.errors import InputError
from pushforward.solvers import (
    SDE,
    Bump,
    Constant,
    DormandPrince,
    FixedStep,
    Vanishing,
    divergence,
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


def test_density_refuses_noise_and_inference_mode():
    with pytest.raises(InputError, match="ODE solver"):
        log_density(gaussian_oracle(), points(2), standard_normal, solver=SDE())
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
        with pytest.raises(InputError, match="forwards"):
            solver.solve(oracle, x, start=1.0, end=0.0)


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
