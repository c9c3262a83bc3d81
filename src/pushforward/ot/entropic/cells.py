"""Cells of near points, and which of them can matter to each other at given potentials."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.ot.entropic.tiles import ground
from pushforward.ot.problem import Problem

__all__ = ["Cells", "Near", "cells_of", "near_cells"]

CELL, LOW_DIMENSION = 64, 6
"""Points of a cell, and dimensions up to which cells of neighbours are small."""

MANY = 1 << 20
"""Pairs of points from which on cells pay."""

WASTE = 1.5
"""How many more pairs of cells than necessary are visited before it pays to look again."""


@dataclass(frozen=True)
class Cells:
    """A partition of points into cells of equal size, but for the last: cell k holds `order[k size:(k + 1) size]`."""

    order: Tensor
    size: int

    def slices(self) -> Iterator[slice]:
        """Walk through the cells: the places in `order` of each."""
        n = len(self.order)
        return (slice(low, min(low + self.size, n)) for low in range(0, n, self.size))

    def largest(self, values: Tensor) -> Tensor:
        """Return the largest of `values: (n,)`, given in cell order, in every cell."""
        missing = -len(values) % self.size
        return torch.nn.functional.pad(values, (0, missing), value=-torch.inf).reshape(-1, self.size).amax(1)

    def members(self, chosen: Tensor) -> Tensor:
        """Return the places of all points in the cells that a mask chooses."""
        places = chosen.nonzero() * self.size + torch.arange(self.size, device=chosen.device)
        missing = -len(self.order) % self.size if bool(chosen[-1]) else 0
        return places.flatten()[: places.numel() - missing]


def cells_of(points: Tensor, size: int) -> Cells:
    """Cut points `(n, d)` in the middle of their longest sides, until cells hold `size` of them."""
    parts = [torch.arange(len(points), device=points.device)]
    while max(len(part) for part in parts) > size:
        parts = [half for part in parts for half in _halves(points, part, size)]
    return Cells(torch.cat(parts), size)


def _halves(points: Tensor, part: Tensor, size: int) -> tuple[Tensor, ...]:
    if len(part) <= size:
        return (part,)
    inside = points[part]
    axis = int((inside.amax(0) - inside.amin(0)).argmax())
    middle = size * (math.ceil(len(part) / size) // 2)
    return part[inside[:, axis].argsort(stable=True)].tensor_split([middle])


def near_cells(problem: Problem, size: int = CELL) -> Near | None:
    """Return the cells of one problem of many points in few dimensions on a CPU; for others they do not pay."""
    if problem.x is None or problem.y is None or isinstance(problem.cost, Tensor) or problem.batch:
        return None
    few = problem.x.shape[-1] <= LOW_DIMENSION and problem.x.device.type == "cpu"
    return Near(problem.detached(), size) if few and math.prod(problem.shape) > MANY else None


class Near:
    """The least slack `C_ij - f_i - g_j` of every pair of cells, seen at some potentials and bounded at others.

    Where the potentials of two cells have risen by at most r and s since, their slack has lost at most `r + s`. What
    was seen is good for all regularisations and for costs of any kind; when it has become too old to be of use, all
    pairs are looked at anew, in single precision. `problem` has its points in the order of the cells.
    """

    def __init__(self, problem: Problem, size: int) -> None:
        x, y = problem.points()
        self.source, self.target = cells_of(x, size), cells_of(y, size)
        i, j = self.source.order, self.target.order
        self.problem = replace(problem, x=x[i], y=y[j], a=problem.a[i], b=problem.b[j])
        self.costs = ground(self.problem, torch.float32)
        self.rounding = 8 * torch.finfo(torch.float32).eps * self.costs.scale
        self.least: Tensor | None = None
        self.f, self.g = torch.zeros_like(problem.a), torch.zeros_like(problem.b)

    def pairs(self, f: Tensor, g: Tensor, reach: float) -> Tensor:
        """Tell, for each pair of cells, whether it may hold slacks up to `reach`: `(K, L)`, at least one in each row.

        Potentials are in cell order.
        """
        if self.least is None:
            self.least = self._look(f, g)
        bound = self.least - self.source.largest(f - self.f).unsqueeze(1) - self.target.largest(g - self.g)
        if int((bound <= reach).sum()) > WASTE * int((self.least <= reach).sum()) + len(bound):
            self.least = bound = self._look(f, g)
        return bound <= bound.amin(1, keepdim=True).clamp_(min=reach)

    def _look(self, f: Tensor, g: Tensor) -> Tensor:
        """Find the least slack of all pairs of cells."""
        self.f, self.g = f.clone(), g.clone()
        tiles = self.costs.exponents(1.0, f, g)
        best, largest = torch.empty_like(g), []
        for rows in self.source.slices():
            for columns, tile in tiles.across(rows):
                best[columns] = tile.amax(-2)
            largest.append(self.target.largest(best))
        return -torch.stack(largest) - self.rounding
