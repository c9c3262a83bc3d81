"""Optimal potentials of a sparse plan, over all edges: the certificate that no other plan is cheaper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pushforward.ot.problem import Problem

__all__ = ["blocks", "column_conjugate", "held", "row_conjugate", "steps"]

HELD = 1 << 27
"""Entries up to which the cost matrix is made once and held."""

BLOCK = 1 << 18
"""Entries of the cost that one step of a pass looks at: they stay in the cache."""


def held(problem: Problem) -> Problem:
    """Return the problem with its cost matrix made, unless that is large: then every pass makes it again in blocks."""
    n, m = problem.shape
    if isinstance(problem.cost, Tensor) or n * m > HELD:
        return problem
    if n * m <= BLOCK:
        return replace(problem, cost=problem.dense())
    matrix = torch.empty(n, m, dtype=problem.a.dtype, device=problem.a.device)
    for rows in steps(n, m):
        matrix[rows] = problem.rows(rows)
    return replace(problem, cost=matrix)


def blocks(problem: Problem) -> Iterator[tuple[slice, Tensor]]:
    """Walk through the cost matrix in blocks of rows, in float64."""
    for rows in steps(*problem.shape):
        yield rows, problem.rows(rows).double()


def steps(n: int, m: int) -> Iterator[slice]:
    """Divide n rows of m entries into blocks."""
    step = BLOCK // m + 1
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def row_conjugate(problem: Problem, g: Tensor) -> Tensor:
    """Return `f_i = min_j C_ij - g_j`, the largest potential that is feasible with `g: (m,)`: `(n,)`."""
    return torch.cat([(cost - g).amin(1) for _, cost in blocks(problem)])


def column_conjugate(problem: Problem, f: Tensor) -> Tensor:
    """Return `g_j = min_i C_ij - f_i`, the largest potential that is feasible with `f: (n,)`: `(m,)`."""
    return torch.stack([(cost - f[rows, None]).amin(0) for rows, cost in blocks(problem)]).amin(0)
