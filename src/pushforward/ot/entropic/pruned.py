"""Soft c-transforms of points in few dimensions: passes over near cells only, in memory linear in the points."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy

import torch
from torch import Tensor

from pushforward.ot.entropic.cells import Cells, Near
from pushforward.ot.entropic.streamed import fold, row_sums, shift_at
from pushforward.ot.entropic.tiles import Ground, Tiles, ground, log_weights
from pushforward.ot.entropic.transform import SoftTransform

__all__ = ["CELL", "PrunedTransform"]

CELL = 128
"""Points of a cell: as many rows as a matrix product needs to be quick."""

MARGIN = 2.0
"""Logarithm of the factor by which sums may miss one before what was left out of them could matter."""

MOSTLY = 0.7
"""Share of near pairs of cells from which on it is quicker to take all."""


class PrunedTransform(SoftTransform):
    """The conjugates of one problem's points, without pairs that all together weigh less than rounding in `dtype`.

        f_i = s_i - epsilon log sum_j exp((g_j + s_i - C_ij) / epsilon + log b_j)      for any shift s

    With the last conjugate for a shift, the sums are about one, and two cells are left out whose least slack
    `C_ij - s_i - g_j` is beyond `epsilon log(1 / precision)`. Where a sum is far from one, the conjugate that follows
    from it (too high, if anything) is the next shift. Potentials are in the dtype of the problem. Follows no gradient.
    """

    def __init__(
        self, near: Near, epsilon: float, dtype: torch.dtype, f: Tensor | None = None, g: Tensor | None = None
    ) -> None:
        """Prepare; `f` and `g` are what the conjugates are expected to be, if that is known."""
        self.near, self.epsilon, self.dtype = near, epsilon, dtype
        self.costs = ground(near.problem, dtype)
        self.log_a, self.log_b = log_weights(near.problem.a), log_weights(near.problem.b)
        self.f = None if f is None else f[near.source.order]
        self.g = None if g is None else g[near.target.order]

    @property
    def resolution(self) -> float:
        """L1 error of marginals that rounding in `dtype` may hide: no tolerance below it can be relied on."""
        return torch.finfo(self.dtype).eps / 2 * self.costs.scale / self.epsilon

    def at(self, epsilon: float) -> PrunedTransform:
        """Return the transform of the same problem at another regularisation."""
        other = copy(self)
        other.epsilon = epsilon
        return other

    @torch.no_grad()
    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        source, target = self.near.source, self.near.target
        g = g[target.order]
        bias, near = g / self.epsilon + self.log_b, lambda f: self.near.pairs(f, g, self._reach)
        self.f = self._conjugate(self.costs, bias, self.f, source, target, near)
        return torch.empty_like(self.f).index_copy_(0, source.order, self.f)

    @torch.no_grad()
    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        source, target = self.near.source, self.near.target
        f = f[source.order]
        bias, near = f / self.epsilon + self.log_a, lambda g: self.near.pairs(f, g, self._reach).T
        self.g = self._conjugate(self.costs.T, bias, self.g, target, source, near)
        return torch.empty_like(self.g).index_copy_(0, target.order, self.g)

    @property
    def _reach(self) -> float:
        return self.epsilon * (MARGIN - math.log(torch.finfo(self.dtype).eps))

    def _conjugate(
        self, costs: Ground, bias: Tensor, last: Tensor | None, rows: Cells, columns: Cells,
        near: Callable[[Tensor], Tensor],
    ) -> Tensor:  # fmt: skip
        if last is None:
            return self.epsilon * shift_at(torch.arange(len(rows.order)), costs, self.epsilon, bias)
        shift, off = last / self.epsilon, torch.ones_like(last, dtype=torch.bool)
        for _ in range(2):
            tiles = costs.exponents(self.epsilon, shift, bias)
            logarithm = _sums(tiles, rows, columns, near(self.epsilon * shift)).log()
            shift, off = tiles.shift - logarithm, ~(logarithm.abs() < MARGIN)
            if not bool(off.any()):
                return self.epsilon * shift
        far = off.nonzero()[:, 0]
        shift[far] = shift_at(far, costs, self.epsilon, bias)
        return self.epsilon * shift


def _sums(tiles: Tiles, rows: Cells, columns: Cells, near: Tensor) -> Tensor:
    """Sum the exponentials of every row over the cells near to it: `(n,)`."""
    if float(near.float().mean()) > MOSTLY:
        return fold(tiles, row_sums, torch.add)
    sums = torch.zeros_like(tiles.shift)
    for part, chosen in zip(rows.slices(), near, strict=True):
        for tile in tiles.among(part, columns.members(chosen)):
            sums[part] += row_sums(tile)
    return sums
