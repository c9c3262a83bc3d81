"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pushforward.ot.exact.candidates import cheap_edges, part, violated
from pushforward.ot.exact.certificate import column_conjugate, held, resolution, row_conjugate
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.pricing import quick_prices
from pushforward.ot.exact.primal_dual import Edges, optimal_matching
from pushforward.ot.problem import Problem

__all__ = ["approximate_assignment", "exact_assignment", "exact_assignments"]

TINY, SMALL, LARGE = 128, 1200, 16384
"""Sizes up to which prices do not pay; up to which the whole matrix is augmented; above which a part is priced."""

ENTRANTS = 16
"""Violated edges of a row that may enter the sparse problem at once."""


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost.

    A short entropic ladder gives nearly optimal column potentials `g`. Small problems: shortest augmenting paths
    (Jonker-Volgenant) on `C - g`, which has the same optimum, are then short; SciPy finds them in float64 on the CPU,
    without the interpreter lock. Large ones: `optimal_matching` on the cheapest edges of every row and column; its
    potentials price all edges, violated ones enter, until there are none. Exact up to the rounding of the costs.
    """
    matrix = held(problem)
    if problem.shape[0] > SMALL:
        permutation, dual, row_dual = _sparse_assignment(matrix)
        return replace(_plan(problem, permutation, dual, "assignment"), row_dual=row_dual)
    dual = _prices(matrix)
    return _plan(problem, _match(matrix.dense() - dual), dual, "assignment")


def exact_assignments(problem: Problem) -> list[SparsePlan]:
    """Return the optimal permutation of every problem of the leading axis; costs of tiny ones are made all at once."""
    singles = [problem.single(k) for k in range(problem.batch[0])]
    if problem.shape[0] > TINY:
        return [exact_assignment(single) for single in singles]
    costs = problem.dense().double().cpu().numpy()
    found = torch.from_numpy(np.stack([linear_sum_assignment(cost)[1] for cost in costs])).to(problem.b.device)
    duals = torch.zeros_like(problem.b, dtype=torch.float64)
    return [_plan(*each, "assignment") for each in zip(singles, found, duals, strict=True)]


def approximate_assignment(problem: Problem) -> SparsePlan:
    """Return a permutation of nearly least cost, sooner.

    After the ladder, points that are each other's cheapest partner in reduced cost are paired; the rest are assigned
    optimally among themselves. `duality_gap` bounds what was lost.
    """
    matrix = held(problem)
    dual = _prices(matrix)
    reduced = matrix.dense() - dual
    reduced -= reduced.amin(1, keepdim=True)
    forward, backward = reduced.argmin(1), reduced.argmin(0)
    mutual = backward[forward] == torch.arange(len(dual), device=dual.device)
    permutation = torch.where(mutual, forward, -1)
    taken = torch.zeros_like(mutual).index_fill_(0, forward[mutual], True)
    rows, columns = (~mutual).nonzero()[:, 0], (~taken).nonzero()[:, 0]
    permutation[rows] = columns[_match(reduced[rows][:, columns])]
    return _plan(problem, permutation, dual, "approximate")


def _sparse_assignment(problem: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Return the optimal permutation and its potentials, of the columns and of the rows."""
    g = _prices(problem)
    edges = cheap_edges(problem, g).joined(_diagonal(problem))
    tolerance, prices = resolution(problem), g.cpu().numpy()
    while True:
        columns, row_prices, prices = optimal_matching(edges, prices)
        permutation, f, g = (torch.from_numpy(found).to(problem.a.device) for found in (columns, row_prices, prices))
        grown = edges.joined(violated(problem, f, g, ENTRANTS, tolerance))
        if len(grown.i) == len(edges.i):
            return permutation, g, f
        edges = grown


def _prices(problem: Problem) -> Tensor:
    """Return a nearly optimal column potential, `(m,)`; any potential leaves the optimal permutation as it is."""
    n = problem.shape[0]
    if n <= TINY:
        return torch.zeros_like(problem.b, dtype=torch.float64)
    if n <= LARGE:
        return quick_prices(problem)
    some = torch.linspace(0, n - 1, LARGE, device=problem.a.device).long()
    g = torch.full_like(problem.b, -torch.inf, dtype=torch.float64)
    g[some] = quick_prices(part(problem, some, some))
    return column_conjugate(problem, row_conjugate(problem, g))


def _diagonal(problem: Problem) -> Edges:
    """Return the edges of the identity, so that there is a perfect matching in any case."""
    k = torch.arange(problem.shape[0], device=problem.a.device)
    return Edges(problem.shape, k.cpu().numpy(), k.cpu().numpy(), problem.aligned(k, k).double().cpu().numpy())


def _match(cost: Tensor) -> Tensor:
    """Return the optimal column of each row of a square matrix."""
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns).to(cost.device)


def _plan(problem: Problem, permutation: Tensor, dual: Tensor, method: str) -> SparsePlan:
    rows = torch.arange(len(permutation), device=permutation.device)
    return SparsePlan(
        problem, method, len(permutation), True, rows, permutation, problem.a, dual, method == "assignment"
    )
