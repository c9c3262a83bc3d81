"""The few entries of a cost matrix that can carry mass near given potentials."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Candidates"]

PATIENCE = 2
"""How often the work of choosing anew is spent on the entries before that is done."""


class Candidates:
    """The entries with `f_i - C_ij >= floor_j`, column by column.

    At other potentials `f'` no entry left out exceeds `floor + max |f' - f|`. As long as that is no more than the
    level below which its column takes no mass, nothing is lost by leaving it out: `cover` tells.

    `index: (m, K)` holds the source of each entry and `cost: (m, K)` its cost, infinite where a column has fewer.
    """

    def __init__(self, costs: Tensor, f: Tensor, floor: Tensor) -> None:
        """Choose from the transposed matrix `costs: (m, n)`."""
        j, i = (f - costs >= floor[:, None]).nonzero(as_tuple=True)
        counts = torch.bincount(j, minlength=len(floor))
        place = torch.arange(len(j), device=j.device) - (counts.cumsum(0) - counts)[j]
        shape = len(floor), max(1, int(counts.max()))
        self.index = torch.zeros(shape, dtype=torch.long, device=j.device).index_put_((j, place), i)
        self.cost = costs.new_full(shape, torch.inf).index_put_((j, place), costs[j, i])
        self.costs, self.f, self.floor, self.uses = costs, f, floor, 0

    def scores(self, f: Tensor) -> Tensor:
        """Return `f_i - C_ij` of the entries: `(m, K)`."""
        self.uses += 1
        return f.index_select(0, self.index.flatten()).view_as(self.cost) - self.cost

    def cover(self, f: Tensor, level: Tensor) -> bool:
        """Tell whether every entry with `f_i - C_ij > level_j` is among them, for `level: (m,)`."""
        return bool((self.floor + self._drift(f) <= level).all())

    def renewed(self, f: Tensor, level: Tensor) -> Candidates:
        """Return those that serve `f` and `level`: themselves, or others with room to move twice as far as since then.

        They are also given up when enough work has been done on them that a smaller choice is likely to pay.
        """
        spent = self.uses * self.index.shape[1] > PATIENCE * self.costs.shape[1]
        if self.cover(f, level) and not spent:
            return self
        return Candidates(self.costs, f, level - 2 * self._drift(f))

    def _drift(self, f: Tensor) -> Tensor:
        return (f - self.f).abs().max()
