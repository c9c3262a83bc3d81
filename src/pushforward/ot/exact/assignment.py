"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.ot.exact.certificate import held
from pushforward.ot.exact.network import Flow, Lists, Search
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.shortest_paths import assign_each
from pushforward.ot.exact.transport import DUST, LONG, SHORT, optimum
from pushforward.ot.problem import Problem

__all__ = ["exact_assignment", "exact_assignments"]


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost, up to the rounding of the costs; `duality_gap` certifies it."""
    found = optimum(_units(held(problem)))
    return _plan(problem, found.j[found.i.argsort()], found.price, found.paths)


def exact_assignments(problem: Problem) -> list[SparsePlan]:
    """Return the optimal permutations of many small problems: all matrices are made at once, and shared by threads."""
    costs = problem.detached().dense().double().cpu().numpy()
    price, columns = costs.min(1), np.empty(costs.shape[:2], np.int64)
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        shares = [np.array_split(values, threads) for values in (costs, price, columns)]
        list(pool.map(_assign_each, *shares))
    permutations, duals = (torch.from_numpy(values).to(problem.a.device) for values in (columns, price))
    singles = (problem.single(k) for k in range(problem.batch[0]))
    return [_plan(*each, problem.shape[0]) for each in zip(singles, permutations, duals, strict=True)]


def _assign_each(costs: NDArray[np.float64], price: NDArray[np.float64], columns: NDArray[np.int64]) -> None:
    n = costs.shape[1]
    flow = Flow.empty(np.ones(n), np.ones(n), np.zeros(n), DUST)
    assign_each(costs, price, columns, Lists.empty(n, min(n, LONG)), flow, Search.empty(n, n), min(n, SHORT))


def _units(problem: Problem) -> Problem:
    """Return the problem with points of unit mass, of which whole ones are sent without rounding."""
    ones = torch.ones_like(problem.b, dtype=torch.float64)
    return replace(problem, a=ones, b=ones)


def _plan(problem: Problem, permutation: Tensor, dual: Tensor, paths: int) -> SparsePlan:
    rows = torch.arange(len(permutation), device=permutation.device)
    return SparsePlan(problem, "assignment", paths, True, rows, permutation, problem.a, dual)
