"""Entropic plans against closed forms and POT, at large and tiny epsilon."""

import math

import pytest
import torch

import ot as pot
from pushforward.errors import ConvergenceWarning
from pushforward.ot import EntropicPlan, solve


def gaussian_grid(mean, deviation, n=400):
    x = torch.linspace(mean - 6 * deviation, mean + 6 * deviation, n, dtype=torch.float64)[:, None]
    weight = torch.exp(-((x[:, 0] - mean) ** 2) / (2 * deviation**2))
    return x, weight / weight.sum()


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_gaussians_have_the_closed_entropic_map_and_objective(epsilon):
    """In one dimension, with s = epsilon / 2 and D = sqrt(4AB + s^2), the map has slope (D - s) / 2A."""
    (x, a), (y, b) = gaussian_grid(0.3, 1.0), gaussian_grid(-1.0, 0.7)
    plan = solve(x, y, a, b, epsilon=epsilon, tolerance=1e-10)
    A, B, s = 1.0, 0.49, epsilon / 2
    D = math.sqrt(4 * A * B + s * s)
    objective = 1.3**2 + A + B - D + s * (1 - math.log(2 * s)) + s * math.log(D + s)
    assert float(plan.objective) == pytest.approx(objective, abs=1e-4)
    middle = (x[:, 0] - 0.3).abs() < 1
    slope = (plan.barycentric_map()[middle, 0] + 1) / (x[middle, 0] - 0.3)
    torch.testing.assert_close(slope, torch.full_like(slope, (D - s) / (2 * A)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_schroedinger_correlation(sigma):
    """Unit variances, epsilon = 2 sigma^2, squared distance: correlation sqrt(sigma^4 / 4 + 1) - sigma^2 / 2."""
    x, a = gaussian_grid(0.0, 1.0)
    plan = solve(x, x, a, a, epsilon=2 * sigma**2, tolerance=1e-10)
    correlation = a @ (x * plan.barycentric_map())[:, 0]
    assert float(correlation) == pytest.approx(math.sqrt(sigma**4 / 4 + 1) - sigma**2 / 2, abs=1e-5)


@pytest.mark.parametrize("relative", [1.0, 0.03, 0.01])
def test_plan_is_pots(relative):
    g = torch.Generator().manual_seed(0)
    cost = torch.rand(60, 45, generator=g, dtype=torch.float64)
    a, b = torch.rand(60, generator=g, dtype=torch.float64), torch.rand(45, generator=g, dtype=torch.float64)
    a, b = a / a.sum(), b / b.sum()
    plan = solve(cost=cost, a=a, b=b, epsilon=relative, tolerance=1e-9, max_iterations=100_000)
    theirs = pot.sinkhorn(a.numpy(), b.numpy(), cost.numpy(), relative, "sinkhorn_log", 200_000, 1e-10)
    torch.testing.assert_close(plan.to_dense(), torch.from_numpy(theirs), atol=1e-7, rtol=0)
    assert plan.converged and plan.marginal_error < 2e-9 and abs(plan.duality_gap) < 1e-8


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_small_epsilon_is_safe_and_near_the_exact_plan(dtype):
    """Epsilon 1e-4 of the mean cost, where the plain kernel underflows everywhere, from a bad scale and far clouds."""
    g = torch.Generator().manual_seed(0)
    x = 100 * torch.randn(80, 2, generator=g, dtype=torch.float64)
    y = 100 * torch.randn(80, 2, generator=g, dtype=torch.float64) + 1000
    mean = float((x[:, None] - y).square().sum(-1).mean())
    plan = solve(x.to(dtype), y.to(dtype), epsilon=1e-5 * mean, tolerance=1e-3, max_iterations=50_000)
    exact = float(solve(x, y).value)
    assert plan.converged and plan.f.dtype == dtype and plan.f.isfinite().all() and plan.g.isfinite().all()
    assert plan.marginal_error < 2e-3
    assert float(plan.value) == pytest.approx(exact, rel=1e-3)


def test_large_epsilon_is_the_independent_plan():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(solve(x, epsilon=1e8).to_dense(), torch.full((20, 20), 1 / 400, dtype=torch.float64))


def test_points_without_mass_take_no_part():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, 2, generator=g, dtype=torch.float64), torch.randn(15, 2, generator=g, dtype=torch.float64)
    a, b = torch.ones(20, dtype=torch.float64), torch.ones(15, dtype=torch.float64)
    a[:4], b[10:] = 0, 0
    plan = solve(x, y, a / 16, b / 10, epsilon=0.1, tolerance=1e-10)
    part = solve(x[4:], y[:10], epsilon=0.1, tolerance=1e-10)
    torch.testing.assert_close(plan.to_dense()[4:, :10], part.to_dense())
    torch.testing.assert_close(plan.g[:10] - plan.g[0], part.g - part.g[0])
    assert plan.f.isfinite().all() and plan.g.isfinite().all() and plan.to_dense()[:4].sum() == 0


def test_objective_is_cost_plus_divergence():
    g = torch.Generator().manual_seed(0)
    plan = solve(torch.randn(30, 2, generator=g).double(), torch.randn(20, 2, generator=g).double(), epsilon=0.3)
    assert isinstance(plan, EntropicPlan)
    P, reference = plan.to_dense(), plan.problem.a[:, None] * plan.problem.b
    divergence = (P * (P / reference).log() - P + reference).sum()
    torch.testing.assert_close(plan.objective, (P * plan.problem.dense()).sum() + 0.3 * divergence)
    torch.testing.assert_close(plan.value, (P * plan.problem.dense()).sum())


def test_over_relaxation_needs_far_fewer_sweeps_than_plain_ones():
    g = torch.Generator().manual_seed(0)
    x, y = (torch.rand(200, 2, generator=g, dtype=torch.float64) for _ in range(2))
    plan = solve(x, y, epsilon=0.01, tolerance=1e-8)
    cost, f, v = plan.problem.dense(), 0, torch.zeros(200, dtype=torch.float64)
    for plain in range(1, 5001):
        f = -0.01 * torch.logsumexp((v - cost) / 0.01, 1) + 0.01 * math.log(200)
        v = -0.01 * torch.logsumexp((f[:, None] - cost) / 0.01, 0) + 0.01 * math.log(200)
        if plain % 50 == 0:
            rows = ((f[:, None] + v - cost) / 0.01).exp().mean(1)
            if (rows - 1).abs().mean() < 1e-8:
                break
    assert plan.converged and plan.iterations < plain / 2


@pytest.mark.parametrize("method", ["sinkhorn", "newton"])
def test_too_few_iterations_warn_with_figures(method):
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    with pytest.warns(ConvergenceWarning, match=r"after \d+ iterations with a marginal error of .* wanted 1.00e-12"):
        plan = solve(x, 3 * x.flip(0), epsilon=0.01, max_iterations=1, tolerance=1e-12, method=method)
    start = solve(x, 3 * x.flip(0), epsilon=0.01, tolerance=1e-6).g
    with pytest.warns(ConvergenceWarning, match=r"after 1 iterations"):
        again = solve(x, x.flip(0), epsilon=0.01, max_iterations=1, tolerance=1e-6, init=start, method=method)
    assert not plan.converged and not again.converged and again.iterations == 1


@pytest.mark.parametrize("method", ["auto", "newton", "sinkhorn"])
def test_single_precision_in_and_out(method):
    g = torch.Generator().manual_seed(0)
    cost = torch.rand(60, 50, generator=g)
    x, y = torch.randn(60, 2, generator=g), torch.randn(50, 2, generator=g)
    for plan in (solve(cost=cost, epsilon=0.2, method=method), solve(x, y, epsilon=0.2, method=method)):
        assert plan.value.dtype == plan.f.dtype == plan.to_dense().dtype == torch.float32
        assert plan.converged and plan.marginal_error < 1e-4


def test_auto_does_not_stall_on_weakly_connected_points():
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plan = solve(x, x + 0.7, epsilon=0.4, tolerance=1e-7)
    assert plan.converged and plan.iterations < 1000
