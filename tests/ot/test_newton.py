"""Truncated kernels and Newton steps: the same plans as Sinkhorn's iteration, in far fewer steps."""

import math
from itertools import pairwise

import pytest
import torch

from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot import solve
from pushforward.ot.entropic.blocks import Walk, cells_of
from pushforward.ot.entropic.certify import certify
from pushforward.ot.entropic.newton import newton
from pushforward.ot.entropic.sparse import SparseTransform, screen
from pushforward.ot.entropic.transform import DenseTransform
from pushforward.ot.problem import pose


def clouds(n, m, d, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g, dtype=torch.float64), torch.randn(
        m, d, generator=g, dtype=torch.float64
    ) + 0.5


def weights(n, seed):
    w = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return w / w.sum()


@pytest.mark.parametrize(
    "n, m, d, epsilon", [(150, 150, 2, 0.01), (200, 130, 5, 0.05), (120, 160, 40, 0.2), (60, 70, 3, 5.0)]
)
@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(2)])
def test_newton_is_sinkhorn(n, m, d, epsilon, cost):
    x, y = clouds(n, m, d)
    a, b = weights(n, 1), weights(m, 2)
    quick = solve(x, y, a, b, cost=cost, epsilon=epsilon, tolerance=1e-10, method="newton")
    plain = solve(x, y, a, b, cost=cost, epsilon=epsilon, tolerance=1e-9, method="sinkhorn", max_iterations=20_000)
    assert quick.method == "newton" and quick.converged and quick.marginal_error < 2e-10
    torch.testing.assert_close(quick.to_dense(), plain.to_dense(), atol=1e-8, rtol=0)
    torch.testing.assert_close(quick.f, plain.f, atol=1e-6, rtol=0)


def test_random_costs_take_far_fewer_steps_and_the_dual_never_falls():
    """The experiment of the paper: n = 200, costs uniform in [0, 1], epsilon = 1/500."""
    cost = torch.rand(200, 200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    quick = solve(cost=cost, epsilon=1 / 500, tolerance=1e-9, method="newton")
    plain = solve(cost=cost, epsilon=1 / 500, tolerance=1e-9, method="sinkhorn", max_iterations=20_000)
    assert quick.iterations <= 100 and plain.iterations >= 5 * quick.iterations
    torch.testing.assert_close(quick.f, plain.f, atol=1e-6, rtol=0)
    problem = pose(None, None, None, None, cost)
    g, duals = torch.zeros(200, dtype=torch.float64), []
    f, _ = certify(Walk(problem), g, g, 1 / 50)
    pairs = screen(Walk(problem), f, g, math.inf, 40_000)
    transform = SparseTransform(pairs, problem.a, problem.b, 1 / 50)
    for _ in range(15):
        state = newton(transform, problem, g, tolerance=1e-12, max_iterations=1)
        g = state.g
        duals.append(float(problem.a @ state.f + problem.b @ g))
    assert all(after >= before - 1e-13 for before, after in pairwise(duals))
    assert state.error < 1e-10


@pytest.mark.parametrize("n, m, d, epsilon", [(1000, 1200, 2, 1e-3), (3000, 2500, 3, 5e-3)])
def test_pruned_passes_see_all_that_matters(n, m, d, epsilon):
    """Cells, boxes and truncation against the dense conjugates, above the size where they set in."""
    x, y = clouds(n, m, d)
    plan = solve(x, y, epsilon=epsilon, tolerance=1e-7)
    assert plan.method == "newton" and plan.converged
    problem = pose(x, y, None, None, SquaredEuclidean())
    walk = Walk(problem)
    assert walk.cells is not None
    f, error = certify(walk, plan.f, plan.g, epsilon, 25.0)
    dense = DenseTransform(problem, epsilon)
    torch.testing.assert_close(f, dense.rows(plan.g), atol=1e-10, rtol=0)
    assert abs(error - plan.marginal_error) < 1e-9 and plan.marginal_error < 1e-7
    pairs = screen(walk, plan.f, plan.g, 20 * epsilon, n * m)
    slack = problem.dense() - plan.f[:, None] - plan.g
    found = torch.zeros(n, m, dtype=torch.bool)
    found[pairs.i, pairs.j] = True
    assert bool(found[slack < 20 * epsilon].all())
    torch.testing.assert_close(pairs.costs, problem.aligned(pairs.i, pairs.j), atol=1e-10, rtol=0)
    assert bool(found.any(0).all()) and bool(found.any(1).all()) and len(pairs.j) < n * m / 4


def test_cells_hold_their_points():
    x, _ = clouds(1000, 1, 3)
    cells = cells_of(x, 50)
    assert torch.equal(cells.order.sort().values, torch.arange(1000))
    for k in range(len(cells.low)):
        inside = x[cells.order[cells.start[k] : cells.start[k + 1]]]
        assert 0 < len(inside) <= 50 and bool((inside >= cells.low[k]).all()) and bool((inside <= cells.high[k]).all())


def test_duplicates_far_points_and_a_warm_start():
    x, y = clouds(300, 300, 2)
    y[:40] = y[0]
    x[7] = 100.0
    plan = solve(x, y, epsilon=0.02, tolerance=1e-8)
    assert plan.converged and plan.marginal_error < 1e-8
    again = solve(x, y, epsilon=0.02, tolerance=1e-8, init=plan.g)
    assert again.iterations <= 1 and again.converged
    assert math.isfinite(float(plan.objective))


@pytest.mark.parametrize("epsilon", [0.3, 0.01])
def test_auto_says_what_it_chose(epsilon):
    x, y = clouds(400, 400, 2)
    plan = solve(x, y, epsilon=epsilon * 4)
    assert plan.method == ("sinkhorn" if epsilon == 0.3 else "newton") and plan.converged
