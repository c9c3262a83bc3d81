"""Truncated kernels and Newton steps: the same plans as Sinkhorn's iteration, in far fewer steps."""

import math
from itertools import pairwise

import pytest
import torch

from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot import solve
from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.cells import cells_of, near_cells
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
    """Cells and truncation against the dense conjugates, above the size where they set in."""
    x, y = clouds(n, m, d)
    plan = solve(x, y, epsilon=epsilon, tolerance=1e-7)
    assert plan.method == "newton" and plan.converged
    near = near_cells(pose(x, y, None, None, SquaredEuclidean()))
    assert near is not None
    problem, walk = near.problem, Walk(near.problem)  # its points are in the order of the cells, and so are these
    f, g = plan.f[near.source.order], plan.g[near.target.order]
    conjugate, error = certify(walk, f, g, epsilon, 25.0)
    torch.testing.assert_close(conjugate, DenseTransform(problem, epsilon).rows(g), atol=1e-10, rtol=0)
    assert abs(error - plan.marginal_error) < 1e-9 and plan.marginal_error < 1e-7
    pairs = screen(walk, f, g, 20 * epsilon, n * m)
    assert pairs is not None
    found = torch.zeros(n, m, dtype=torch.bool)
    found[pairs.i, pairs.j.long()] = True
    slack = problem.dense() - f[:, None] - g
    assert bool(found[slack < 20 * epsilon].all())
    torch.testing.assert_close(pairs.costs, problem.aligned(pairs.i, pairs.j.long()), atol=1e-10, rtol=0)
    assert bool(found.any(0).all()) and bool(found.any(1).all()) and len(pairs.j) < n * m / 4


def test_least_slacks_of_cells_are_bounds_also_after_the_potentials_moved():
    """Every pair of points with a slack within reach is in a pair of cells that is told so, and few others are."""
    x, y = clouds(1500, 1300, 2)
    near = near_cells(pose(x, y, None, None, SquaredEuclidean()))
    assert near is not None
    cost = near.problem.dense()
    generator = torch.Generator().manual_seed(0)
    f, g = cost.amin(1) / 2, cost.amin(0) / 2
    for size in (0.0, 1e-3, 1e-3, 0.3, 1e-3):
        f = f + size * torch.randn(len(f), generator=generator, dtype=f.dtype)
        g = g + size * torch.randn(len(g), generator=generator, dtype=g.dtype)
        said, slack = near.pairs(f, g, 0.05), cost - f[:, None] - g
        least = torch.stack([
            torch.stack([slack[rows, columns].amin() for columns in near.target.slices()])
            for rows in near.source.slices()
        ])  # fmt: skip
        assert bool(said[least <= 0.05].all()) and bool(said.any(1).all())
        assert said.sum() <= 1.5 * (least <= 0.05).sum() + 2 * len(said)


def test_cells_hold_their_points():
    x, _ = clouds(1000, 1, 3)
    cells, values = cells_of(x, 48), torch.arange(1000.0)
    assert torch.equal(cells.order.sort().values, torch.arange(1000))
    slices = list(cells.slices())
    assert [part.stop - part.start for part in slices] == 20 * [48] + [40]
    assert cells.largest(values).tolist() == [part.stop - 1 for part in slices]
    chosen = torch.zeros(21, dtype=torch.bool)
    chosen[[3, 20]] = True
    assert cells.members(chosen).tolist() == [*range(144, 192), *range(960, 1000)]
    spread = torch.stack([x[cells.order[part]].var(0).sum() for part in slices])
    assert spread.max() < x.var(0).sum() / 2


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
