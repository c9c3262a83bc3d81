"""Soft c-transforms straight from the points, without a matrix of costs."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import reduce

import torch
from torch import Tensor

from pushforward.ot.entropic.tiles import Ground, Tiles, ground, log_weights
from pushforward.ot.entropic.transform import SoftTransform, exponent_floor
from pushforward.ot.problem import Problem

__all__ = ["StreamedTransform", "fold", "row_sums", "shift_at"]


class StreamedTransform(SoftTransform):
    """The conjugates of a problem's points (or matrix), in memory O(n + m + block).

        f_i = s_i - epsilon log sum_j exp((g_j + s_i - C_ij) / epsilon + log b_j)      for any shift s

    The sum runs over tiles of about `block` entries (by default, on a CPU, as many as stay in its cache), held in
    `dtype`; potentials are in the dtype of the problem. The shift that makes the sum safe is the last conjugate, for
    potentials change little between sweeps; only rows whose sums leave the safe range pay for a pass that finds their
    largest exponent. Follows no gradient. Source for sums merged over blocks: Feydy et al., *Interpolating between
    optimal transport and MMD using Sinkhorn divergences* (2019), section 3.
    """

    def __init__(
        self, problem: Problem, epsilon: float, dtype: torch.dtype | None = None, block: int | None = None
    ) -> None:
        self.problem, self.epsilon, self.block = problem, epsilon, block
        self.dtype = problem.a.dtype if dtype is None else dtype
        self.costs = ground(problem, self.dtype)
        self.log_a, self.log_b = log_weights(problem.a), log_weights(problem.b)
        self.f: Tensor | None = None
        self.g: Tensor | None = None

    @property
    def resolution(self) -> float:
        """L1 error of marginals that rounding in `dtype` may hide: no tolerance below it can be relied on."""
        return torch.finfo(self.dtype).eps / 2 * self.costs.scale / self.epsilon

    def at(self, epsilon: float) -> StreamedTransform:
        """Return the transform of the same problem at another regularisation."""
        other = copy(self)
        other.epsilon = epsilon
        return other

    @torch.no_grad()
    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        last = torch.full_like(self.log_a, torch.nan) if self.f is None else self.f
        self.f = self._conjugate(self.costs, g / self.epsilon + self.log_b, last)
        return self.f

    @torch.no_grad()
    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        last = torch.full_like(self.log_b, torch.nan) if self.g is None else self.g
        self.g = self._conjugate(self.costs.T, f / self.epsilon + self.log_a, last)
        return self.g

    def _conjugate(self, costs: Ground, bias: Tensor, last: Tensor) -> Tensor:
        tiles = costs.exponents(self.epsilon, last / self.epsilon, bias, self.block)
        unknown = bool(last[..., 0].isnan().any())
        sums = last.clone() if unknown else fold(tiles, row_sums, torch.add)
        shift, far = tiles.shift - sums.log(), _far(sums, tiles.dtype)
        if far.numel():
            shift[..., far] = shift_at(far, costs, self.epsilon, bias, self.block)
        return self.epsilon * shift


def shift_at(rows: Tensor, costs: Ground, epsilon: float, bias: Tensor, block: int | None = None) -> Tensor:
    """Return what makes the sums of `rows: (k,)` one, `(..., k)`, by one more pass that finds the largest exponents."""
    natural = costs.exponents(epsilon, None, bias, block)
    shift = natural.shift.clone()
    shift[..., rows] -= fold(natural, _tops, torch.maximum, rows)
    tiles = costs.exponents(epsilon, shift, bias, block)
    return tiles.shift[..., rows] - fold(tiles, row_sums, torch.add, rows).log()


def fold(
    tiles: Tiles,
    piece: Callable[[Tensor], Tensor],
    merge: Callable[[Tensor, Tensor], Tensor],
    rows: Tensor | None = None,
) -> Tensor:
    """Reduce all tiles of every row (or of the `rows: (k,)`) to one number, in the dtype of the shift: `(..., k)`."""
    parts = [
        reduce(merge, (piece(tile).to(tiles.shift.dtype) for _, tile in tiles.across(part)))
        for part in tiles.rows(rows)
    ]  # fmt: skip
    return torch.cat(parts, -1)


def _tops(exponents: Tensor) -> Tensor:
    return exponents.amax(-1)


def row_sums(exponents: Tensor) -> Tensor:
    """Sum the exponentials; cut off far below what counts, for those that underflow would take most of the time."""
    floor = exponent_floor(exponents.dtype)
    return exponents.clamp_(floor, -floor).exp_().sum(-1)


def _far(sums: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the rows whose sum, in any of the problems, is not certain to be right: `(k,)`."""
    safe = sums.log().abs() < -exponent_floor(dtype) / 4
    return (~safe).reshape(-1, sums.shape[-1]).any(0).nonzero()[:, 0]
