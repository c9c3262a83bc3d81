"""Walking through the costs that may matter: blocks of near points where cells of them are known to be far apart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.geometry import Cost
from pushforward.ot.entropic.cells import near_cells
from pushforward.ot.problem import Problem

__all__ = ["Block", "Walk"]

CHUNK = 1 << 18
"""Entries of a block, so that all passes over them happen in the cache."""


@dataclass(frozen=True)
class Block:
    """Costs `(..., k, l)` between the points with the indices `rows: (k,)` and `columns: (l,)`."""

    rows: Tensor
    columns: Tensor
    cost: Tensor


class Walk:
    """The way through a problem's costs: cells of near points in few dimensions, else all rows in their order."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cells = near_cells(problem)

    def near(self, f: Tensor, g: Tensor, reach: float) -> Iterator[Block]:
        """Yield blocks that hold all pairs with `C_ij - f_i - g_j <= reach`; every row is in exactly one of them."""
        if self.cells is None or reach == math.inf:
            every = torch.arange(self.problem.shape[1], device=f.device)
            for k in self.problem.slices(CHUNK):
                yield Block(torch.arange(k.start, k.stop, device=f.device), every, self.problem.rows(k))
            return
        source, target = self.cells.source, self.cells.target
        near = self.cells.pairs(f[source.order], g[target.order], reach)
        for rows, chosen in zip(source.slices(), near, strict=True):
            columns = target.order[target.members(chosen)]
            for part in source.order[rows].split(max(1, CHUNK // len(columns))):
                yield Block(part, columns, self._cost(part, columns))

    def _cost(self, rows: Tensor, columns: Tensor) -> Tensor:
        x, y = self.problem.points()
        assert isinstance(self.problem.cost, Cost)
        return self.problem.cost.pairwise(x[rows], y[columns])
