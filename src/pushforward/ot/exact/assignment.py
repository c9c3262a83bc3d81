"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pushforward.ot.batch_plan import BatchPlan
from pushforward.ot.exact.certificate import held
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.transport import optimum
from pushforward.ot.plan import Plan
from pushforward.ot.problem import Problem

__all__ = ["AssignmentBatch", "exact_assignment", "exact_assignments"]

SHORT, SHORT_IN_MANY, MANY = 128, 320, 8
"""Points whose rows of costs are short, and short in more than so `MANY` dimensions."""


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost, up to the rounding of the costs; `duality_gap` certifies it."""
    if _is_short(problem):
        permutations, duals = _assigned(problem.detached().dense()[None])
        return _plan(problem, permutations[0], duals[0], problem.shape[0])
    found = optimum(_units(held(problem)))
    return _plan(problem, found.j[found.i.argsort()], found.price, found.paths)


def exact_assignments(problem: Problem) -> AssignmentBatch:
    """Return the optimal permutations of many small problems: all matrices are made at once, and shared by threads."""
    permutations, duals = _assigned(problem.detached().dense())
    return AssignmentBatch(problem, "assignment", problem.shape[0], True, permutations, duals)


@dataclass(frozen=True, eq=False)
class AssignmentBatch(BatchPlan):
    """Permutations of many problems of one size: target indices `permutations` and column potentials `duals`, both
    `(B, n)`. What is often asked for, the values and who goes where, is found for all at once.
    """

    permutations: Tensor
    duals: Tensor

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plan of every problem, with all it offers."""
        return self._built

    @cached_property
    def _built(self) -> tuple[Plan, ...]:
        singles = (self.problem.single(k) for k in range(self.problem.batch[0]))
        found = zip(singles, self.permutations, self.duals, strict=True)
        return tuple(_plan(*each, self.iterations) for each in found)

    @property
    def value(self) -> Tensor:
        """Transport costs, `(B,)`."""
        problem = self.problem
        if problem.a.requires_grad or problem.b.requires_grad:  # whose gradients are the potentials
            return super().value
        if isinstance(problem.cost, Tensor):
            costs = problem.cost.gather(-1, self.permutations.unsqueeze(-1)).squeeze(-1)
        else:
            x, y = problem.points()
            first = torch.arange(len(y), device=y.device).unsqueeze(-1) * y.shape[-2]
            costs = problem.cost.aligned(x, y.flatten(0, 1)[self.permutations + first])
        return (problem.a * costs).sum(-1)

    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the source index of every target point of every problem, `(B, m)`; nothing is random."""
        rows = torch.arange(self.permutations.shape[-1], device=self.permutations.device).expand_as(self.permutations)
        return torch.empty_like(self.permutations).scatter_(-1, self.permutations, rows)


def _is_short(problem: Problem) -> bool:
    """Tell whether whole rows are looked through sooner than lists are made of them and followed.

    In many dimensions rows seldom compete for columns, so that few paths have to be searched.
    """
    n, points = problem.shape[0], problem.x
    return n <= SHORT or (n <= SHORT_IN_MANY and points is not None and points.shape[-1] > MANY)


def _assigned(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return the optimal columns and the column potentials, both `(k, n)`, for matrices `(k, n, n)`."""
    from pushforward.ot.exact.jonker_volgenant import assign_each  # the compiler is slow to import

    costs = cost.detach().contiguous().cpu().numpy()
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
