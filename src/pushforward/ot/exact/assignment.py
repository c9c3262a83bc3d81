"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from pushforward.ot.exact.certificate import held
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.transport import optimum
from pushforward.ot.problem import Problem

__all__ = ["exact_assignment", "exact_assignments"]

SHORT, SHORT_IN_MANY, MANY = 128, 320, 8
"""Points whose rows of costs are short, and short in more than so `MANY` dimensions."""


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost, up to the rounding of the costs; `duality_gap` certifies it."""
    if _is_short(problem):
        permutations, duals = _assigned(problem.detached().dense()[None])
        return _plan(problem, permutations[0], duals[0], problem.shape[0])
    found = optimum(_units(held(problem)))
    return _plan(problem, found.j[found.i.argsort()], found.price, found.paths)


def exact_assignments(problem: Problem) -> list[SparsePlan]:
    """Return the optimal permutations of many small problems: all matrices are made at once, and shared by threads."""
    permutations, duals = _assigned(problem.detached().dense())
    singles = (problem.single(k) for k in range(problem.batch[0]))
    return [_plan(*each, problem.shape[0]) for each in zip(singles, permutations, duals, strict=True)]


def _is_short(problem: Problem) -> bool:
    """Tell whether whole rows are looked through sooner than lists are made of them and followed.

    In many dimensions rows seldom compete for columns, so that few paths have to be searched.
    """
    n, points = problem.shape[0], problem.x
    return n <= SHORT or (n <= SHORT_IN_MANY and points is not None and points.shape[-1] > MANY)


def _assigned(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return the optimal columns and the column potentials, both `(k, n)`, for matrices `(k, n, n)`."""
    from pushforward.ot.exact.jonker_volgenant import assign_each  # the compiler is slow to import

    costs = cost.detach().double().contiguous().cpu().numpy()
    price, columns = np.empty(costs.shape[:2]), np.empty(costs.shape[:2], np.int64)
    threads = min(torch.get_num_threads(), len(costs))
    if threads == 1:
        assign_each(costs, price, columns)
    else:
        with ThreadPoolExecutor(threads) as pool:
            shares = [np.array_split(values, threads) for values in (costs, price, columns)]
            list(pool.map(assign_each, *shares))
    return torch.from_numpy(columns).to(cost.device), torch.from_numpy(price).to(cost.device)


def _units(problem: Problem) -> Problem:
    """Return the problem with points of unit mass, of which whole ones are sent without rounding."""
    ones = torch.ones_like(problem.b, dtype=torch.float64)
    return replace(problem, a=ones, b=ones)


def _plan(problem: Problem, permutation: Tensor, dual: Tensor, paths: int) -> SparsePlan:
    rows = torch.arange(len(permutation), device=permutation.device)
    return SparsePlan(problem, "assignment", paths, True, rows, permutation, problem.a, dual)
