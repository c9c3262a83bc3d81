"""Walking through the costs that may matter: blocks of near points where boxes around them prove the rest far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.geometry import Cost
from pushforward.ot.problem import Problem

__all__ = ["Block", "Cells", "Walk", "cells_of"]

CHUNK = 1 << 18
"""Entries of a block, so that all passes over them happen in the cache."""

CELL, LOW_DIMENSION = 128, 6
"""Points of a cell, and dimensions up to which boxes around neighbours separate anything."""


@dataclass(frozen=True)
class Block:
    """Costs `(..., k, l)` between the points with the indices `rows: (k,)` and `columns: (l,)`."""

    rows: Tensor
    columns: Tensor
    cost: Tensor


@dataclass(frozen=True)
class Cells:
    """A partition of points: cell k holds `order[start[k]:start[k + 1]]`, inside the box from `low[k]` to `high[k]`."""

    order: Tensor
    start: Tensor
    low: Tensor
    high: Tensor

    def largest(self, values: Tensor) -> Tensor:
        """Return the largest of `values: (n,)` in every cell."""
        return torch.segment_reduce(values[self.order], "max", offsets=self.start, axis=0)


def cells_of(points: Tensor, size: int = CELL) -> Cells:
    """Cut points `(n, d)` at medians of their longest sides, until cells hold at most `size` of them."""
    parts = [torch.arange(len(points), device=points.device)]
    while max(len(part) for part in parts) > size:
        parts = [half for part in parts for half in (_halves(points, part) if len(part) > size else (part,))]
    low = torch.stack([points[part].amin(0) for part in parts])
    high = torch.stack([points[part].amax(0) for part in parts])
    sizes = torch.tensor([0] + [len(part) for part in parts], device=points.device)
    return Cells(torch.cat(parts), sizes.cumsum(0), low, high)


def _halves(points: Tensor, part: Tensor) -> tuple[Tensor, ...]:
    inside = points[part]
    axis = int((inside.amax(0) - inside.amin(0)).argmax())
    return part[inside[:, axis].argsort()].tensor_split(2)


class Walk:
    """The way through a problem's costs: cells of near points in few dimensions, else all rows in their order."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.cells: tuple[Cells, Cells] | None = None
        n, m = problem.shape
        x, y = problem.x, problem.y
        if x is None or y is None or isinstance(problem.cost, Tensor) or problem.batch:
            return
        if x.shape[-1] <= LOW_DIMENSION and n * m > 4 * CHUNK:
            self.cells = cells_of(x), cells_of(y)

    def near(self, f: Tensor, g: Tensor, reach: float) -> Iterator[Block]:
        """Yield blocks that hold all pairs with `C_ij - f_i - g_j <= reach`; every row is in exactly one of them.

        Pairs of cells are skipped whose boxes are too far apart for their largest potentials.
        """
        problem, device = self.problem, f.device
        if self.cells is None:
            every = torch.arange(problem.shape[1], device=device)
            for k in problem.slices(CHUNK):
                yield Block(torch.arange(k.start, k.stop, device=device), every, problem.rows(k))
            return
        source, target = self.cells
        sizes, slack = target.start.diff(), self._slack(f, g)
        for k in range(len(slack)):
            rows = source.order[source.start[k] : source.start[k + 1]]
            near = slack[k] <= max(reach, float(slack[k].min()))
            columns = target.order[near.repeat_interleave(sizes)]
            for part in rows.split(max(1, CHUNK // len(columns))):
                yield Block(part, columns, self._cost(part, columns))

    def _slack(self, f: Tensor, g: Tensor) -> Tensor:
        """Return a lower bound of `C_ij - f_i - g_j` between all cells."""
        assert self.cells is not None and isinstance(self.problem.cost, Cost)
        source, target = self.cells
        low, high = source.low.unsqueeze(1), source.high.unsqueeze(1)
        gap = torch.maximum(target.low - high, low - target.high).clamp(min=0)
        bound = self.problem.cost.between_boxes(gap)
        return bound - source.largest(f).unsqueeze(1) - target.largest(g)

    def _cost(self, rows: Tensor, columns: Tensor) -> Tensor:
        x, y = self.problem.points()
        assert isinstance(self.problem.cost, Cost)
        return self.problem.cost.pairwise(x[rows], y[columns])
