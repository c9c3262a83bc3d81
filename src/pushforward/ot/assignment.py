"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from pushforward.ot._scaling import anneal, ladder, residual
from pushforward.ot.problem import Problem
from pushforward.ot.sparse_plan import SparsePlan

__all__ = ["approximate_assignment", "exact_assignment"]

SMALL = 128
"""Up to this size the plain shortest-augmenting-path solver is the fastest."""


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost.

    A short entropic ladder gives nearly optimal column potentials; shortest augmenting paths (Jonker-Volgenant) on
    the reduced costs `C - g`, which have the same optimum, are then short. The paths are found by SciPy in float64 on
    the CPU, without the interpreter lock.
    """
    cost = problem.dense()
    dual = column_potential(cost, _Rungs(5, 3 if cost.shape[0] <= 2048 else 6, 0.0015))
    return _plan(problem, _match(cost.double() - dual.double()), dual, "assignment")


def approximate_assignment(problem: Problem) -> SparsePlan:
    """Return a permutation of nearly least cost, sooner.

    After a shorter ladder, points that are each other's cheapest partner in reduced cost are paired; the rest are
    assigned optimally among themselves. `duality_gap` bounds what was lost.
    """
    cost = problem.dense()
    dual = column_potential(cost, _Rungs(3, 4, 0.004))
    reduced = cost - dual
    reduced = reduced - reduced.amin(1, keepdim=True)
    forward, backward = reduced.argmin(1), reduced.argmin(0)
    mutual = backward[forward] == torch.arange(len(cost), device=cost.device)
    permutation = torch.where(mutual, forward, -1)
    taken = torch.zeros_like(mutual).index_fill_(0, forward[mutual], True)
    rows, columns = (~mutual).nonzero()[:, 0], (~taken).nonzero()[:, 0]
    permutation[rows] = columns[_match(reduced[rows][:, columns].double())]
    return _plan(problem, permutation, dual, "approximate")


@dataclass(frozen=True)
class _Rungs:
    """How long an entropic ladder is: epsilon goes down from half the spread of the cost to `end` times the spread."""

    steps: int
    sweeps: int
    end: float


def column_potential(cost: Tensor, rungs: _Rungs) -> Tensor:
    """Return a nearly optimal column potential, `(m,)`; any potential leaves the optimal permutation as it is."""
    g, spread = residual(cost)
    if len(cost) <= SMALL or spread == 0:
        return g
    weights = torch.full_like(g, 1 / len(g))
    g_end = anneal(cost, weights, weights, g, ladder(0.5 * spread, rungs.end * spread, rungs.steps), rungs.sweeps)
    return torch.where(g_end.isfinite(), g_end, g)


def _match(cost: Tensor) -> Tensor:
    """Return the optimal column of each row of a square matrix."""
    _, columns = linear_sum_assignment(cost.cpu().numpy())
    return torch.from_numpy(columns).to(cost.device)


def _plan(problem: Problem, permutation: Tensor, dual: Tensor, method: str) -> SparsePlan:
    rows = torch.arange(len(permutation), device=permutation.device)
    return SparsePlan(
        problem, method, len(permutation), True, rows, permutation, problem.a, dual, method == "assignment"
    )
