"""Optimal assignment: as many points on either side, of equal weight, so that a permutation is optimal."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pushforward.ot.exact.certificate import held
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.transport import optimum
from pushforward.ot.problem import Problem

__all__ = ["exact_assignment"]


def exact_assignment(problem: Problem) -> SparsePlan:
    """Return the permutation of least total cost, up to the rounding of the costs; `duality_gap` certifies it."""
    found = optimum(_units(held(problem)))
    return _plan(problem, found.j[found.i.argsort()], found.price, found.paths)


def _units(problem: Problem) -> Problem:
    """Return the problem with points of unit mass, of which whole ones are sent without rounding."""
    ones = torch.ones_like(problem.b, dtype=torch.float64)
    return replace(problem, a=ones, b=ones)


def _plan(problem: Problem, permutation: Tensor, dual: Tensor, paths: int) -> SparsePlan:
    rows = torch.arange(len(permutation), device=permutation.device)
    return SparsePlan(problem, "assignment", paths, True, rows, permutation, problem.a, dual)
