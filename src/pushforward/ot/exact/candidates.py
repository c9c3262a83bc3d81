"""The cheap and the violated edges of a transport problem, found in passes over the cost that keep few of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pushforward.ot.exact.certificate import blocks, row_conjugate, steps
from pushforward.ot.exact.primal_dual import Edges
from pushforward.ot.problem import Problem

__all__ = ["cheap_edges", "part", "violated"]

STRIDE, RANK = 4, 4
"""An edge is cheap if it would be among the `RANK` cheapest of every `STRIDE`-th one in its row, or in its column."""


def cheap_edges(problem: Problem, g: Tensor) -> Edges:
    """Return the cheapest edges of every row and column at the prices `g: (m,)`: about `STRIDE * RANK` each.

    What counts as cheap is estimated from a part of the edges; the cheapest of all are always among them.
    """
    f = row_conjugate(problem, g)
    some = slice(None, None, STRIDE)
    row_limit = torch.cat([_limit(_reduced(problem, part, some, f, g)) for part in steps(*problem.shape)])
    column_limit = torch.cat([_limit(_reduced(problem, some, part, f, g).mT) for part in steps(*problem.shape[::-1])])
    found = []
    for rows, cost in blocks(problem):
        reduced = (cost - g).sub_(f[rows, None]).float()
        i, j = ((reduced <= row_limit[rows, None]) | (reduced <= column_limit)).nonzero(as_tuple=True)
        found.append((i + rows.start, j, cost[i, j]))
    return _edges(problem, found)


def violated(problem: Problem, f: Tensor, g: Tensor, k: int, tolerance: float) -> Edges:
    """Return up to `k` edges of every row that cost less than the potentials allow, `C_ij < f_i + g_j - tolerance`."""
    found = []
    for rows, cost in blocks(problem):
        reduced = (cost - g).sub_(f[rows, None])
        i = (reduced.amin(1) < -tolerance).nonzero()[:, 0]
        least, j = reduced[i].topk(min(k, len(g)), 1, largest=False)
        keep = least < -tolerance
        i, j = i[:, None].expand_as(j)[keep], j[keep]
        found.append((i + rows.start, j, cost[i, j]))
    return _edges(problem, found)


def part(problem: Problem, rows: slice | Tensor, columns: slice | Tensor) -> Problem:
    """Return the problem between some of the points; its weights need not sum to one."""
    a, b = problem.a[rows], problem.b[columns]
    if isinstance(problem.cost, Tensor):
        return replace(problem, a=a, b=b, cost=problem.cost[rows][:, columns], x=None, y=None)
    x, y = problem.points()
    return replace(problem, a=a, b=b, x=x[rows], y=y[columns])


def _reduced(problem: Problem, rows: slice, columns: slice, f: Tensor, g: Tensor) -> Tensor:
    """Return a part of the reduced costs; single precision is enough to choose by."""
    cost = part(problem, rows, columns).dense().double()
    return (cost - g[columns]).sub_(f[rows, None]).float()


def _limit(reduced: Tensor) -> Tensor:
    """Return the `RANK`-th least value of every row, or the largest of fewer."""
    rank = min(RANK, reduced.shape[1])
    return reduced.contiguous().topk(rank, 1, largest=False).values[:, -1]


def _edges(problem: Problem, found: list[tuple[Tensor, Tensor, Tensor]]) -> Edges:
    """Collect edges that were found block by block."""
    return Edges.of(problem.shape, *(torch.cat(part).cpu().numpy() for part in zip(*found, strict=True)))
