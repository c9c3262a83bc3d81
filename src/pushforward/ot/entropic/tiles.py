"""Tiles of exponents `shift_i + bias_j - C_ij / epsilon`: all that is ever held of a matrix too large to hold."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from pushforward.geometry import SquaredEuclidean
from pushforward.ot.problem import Problem

__all__ = ["Ground", "Rows", "Tiles", "centred", "ground", "log_weights"]

Rows: TypeAlias = slice | Tensor
Write: TypeAlias = Callable[[Rows, Rows, Tensor], object]

WIDTH = 1024
"""Columns of a tile: enough for fast sums along its rows."""

SAMPLE = 64
"""Rows from which the size of a cost is estimated."""

CACHE, DEVICE = 1 << 19, 1 << 26
"""Bytes of a tile: what stays in the cache of a core (twice); on an accelerator, what keeps it busy."""


class Tiles:
    """A walk over the exponents `(..., n, m)`, about `block` of them at a time, all in one buffer.

    `write(rows, columns, out)` fills a tile `out: (..., r, c)`, which lives until the next one is asked for. `shift` is
    the one that the exponents have to the last digit: where tiles are in single precision, the one asked for, rounded.
    """

    def __init__(self, write: Write, shift: Tensor, m: int, dtype: torch.dtype, block: int | None) -> None:
        self.write, self.shift, self.dtype = write, shift, dtype
        self.batch, self.n, self.m = shift.shape[:-1], shift.shape[-1], m
        block = (CACHE if shift.device.type == "cpu" else DEVICE) // dtype.itemsize if block is None else block
        problems = math.prod(self.batch)
        self.width = max(1, min(WIDTH, m, block // problems))
        self.height = max(1, min(self.n, block // (self.width * problems)))
        self.buffer = shift.new_empty(problems * self.height * self.width, dtype=dtype)

    def rows(self, index: Tensor | None = None) -> Iterator[Rows]:
        """Walk through all rows, or those of `index: (k,)`, as many at a time as a tile has room for."""
        return _slices(self.n, self.height) if index is None else iter(index.split(self.height))

    def across(self, rows: Rows) -> Iterator[tuple[slice, Tensor]]:
        """Walk through the tiles of these rows: yields the columns and the exponents `(..., r, c)`."""
        return ((columns, self._tile(rows, columns)) for columns in _slices(self.m, self._width(rows)))

    def among(self, rows: Rows, columns: Tensor) -> Iterator[Tensor]:
        """Walk through the tiles of these rows and the columns of an index: yields the exponents `(..., r, c)`."""
        return (self._tile(rows, part) for part in columns.split(self._width(rows)))

    def _width(self, rows: Rows) -> int:
        """Return how many columns the buffer has room for."""
        return max(1, self.buffer.numel() // (_length(rows) * math.prod(self.batch)))

    def _tile(self, rows: Rows, columns: Rows) -> Tensor:
        shape = (*self.batch, _length(rows), _length(columns))
        out = self.buffer[: math.prod(shape)].view(shape)
        self.write(rows, columns, out)
        return out

    def __iter__(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Walk through all tiles: yields rows, columns and the exponents `(..., r, c)`."""
        for rows in _slices(self.n, self.height):
            for columns, tile in self.across(rows):
                yield rows, columns, tile


def _length(index: Rows) -> int:
    return index.stop - index.start if isinstance(index, slice) else index.shape[0]


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, length)) for start in range(0, length, step))


@dataclass(frozen=True, eq=False)
class Ground(ABC):
    """Costs `p_i + q_j + c_ij` of all pairs; what depends on one side only never enters a tile in full size."""

    p: Tensor
    q: Tensor
    dtype: torch.dtype

    def exponents(self, epsilon: float, shift: Tensor | None, bias: Tensor, block: int | None = None) -> Tiles:
        """Return the tiles of `shift_i + bias_j - C_ij / epsilon` for `shift: (..., n)` and `bias: (..., m)`.

        Without a shift, the tiles have the one that leaves `p` out.
        """
        t = bias - self.q / epsilon
        top = t.amax(-1, keepdim=True)  # a constant that is large on both sides would cost digits
        natural = self.p / epsilon - top
        s = torch.zeros_like(natural) if shift is None else shift - natural
        s, t = s.to(self.dtype), (t - top).to(self.dtype)
        return Tiles(self._write(epsilon, s, t), s + natural, bias.shape[-1], self.dtype, block)

    @abstractmethod
    def _write(self, epsilon: float, s: Tensor, t: Tensor) -> Write:
        """Return what writes tiles of `s_i + t_j - c_ij / epsilon`."""

    @property
    @abstractmethod
    def T(self) -> Ground:
        """The same costs with the two sides exchanged."""

    @property
    @abstractmethod
    def scale(self) -> float:
        """Size of the numbers, in units of the cost, that exponents are sums of: what rounding is relative to."""


@dataclass(frozen=True, eq=False)
class _Squared(Ground):
    """`c_ij = -2 x_i . y_j`: an exponent is one inner product of augmented points, a tile one matrix product."""

    x: Tensor
    y: Tensor

    def _write(self, epsilon: float, s: Tensor, t: Tensor) -> Write:
        s, t = s.unsqueeze(-1), t.unsqueeze(-1)
        left = torch.cat([(self.x * (2 / epsilon)).to(self.dtype), s, torch.ones_like(s)], -1)
        right = torch.cat([self.y.to(self.dtype), torch.ones_like(t), t], -1).mT.contiguous()
        return lambda rows, columns, out: torch.matmul(left[..., rows, :], _at(right, columns), out=out)

    @property
    def T(self) -> _Squared:
        return _Squared(self.q, self.p, self.dtype, self.y, self.x)

    @property
    def scale(self) -> float:
        return max(float(z.square().sum(-1).max()) for z in (self.x, self.y))


def _at(matrix: Tensor, columns: Rows) -> Tensor:
    # the same as matrix[..., columns], which takes ten times as long for an index
    return matrix[..., columns] if isinstance(columns, slice) else matrix.index_select(-1, columns)


@dataclass(frozen=True, eq=False)
class _Pairwise(Ground):
    """Any cost, a block `costs(rows, columns)` at a time."""

    costs: Callable[[Rows, Rows], Tensor]

    def _write(self, epsilon: float, s: Tensor, t: Tensor) -> Write:
        def write(rows: Rows, columns: Rows, out: Tensor) -> None:
            torch.add(s[..., rows].unsqueeze(-1), t[..., columns].unsqueeze(-2), out=out)
            out.sub_(self.costs(rows, columns), alpha=1 / epsilon)

        return write

    @property
    def T(self) -> _Pairwise:
        return _Pairwise(self.q, self.p, self.dtype, lambda rows, columns: self.costs(columns, rows).mT)

    @property
    def scale(self) -> float:
        return float(self.costs(slice(0, SAMPLE), slice(None)).abs().max())


def ground(problem: Problem, dtype: torch.dtype) -> Ground:
    """Return the costs of `problem`, of whatever kind, ready for tiles in `dtype`; without autograd history."""
    problem = problem.detached()
    cost, nothing = problem.cost, (torch.zeros_like(problem.a), torch.zeros_like(problem.b), dtype)
    if isinstance(cost, Tensor):
        return _Pairwise(*nothing, lambda rows, columns: cost[..., rows, :][..., columns])
    x, y = problem.points()
    if type(cost) is SquaredEuclidean:
        x, y, p, q = centred(x, y)
        return _Squared(p + x.square().sum(-1), q + y.square().sum(-1), dtype, x, y)
    x, y = x.to(dtype), y.to(dtype)
    return _Pairwise(*nothing, lambda rows, columns: cost.pairwise(x[..., rows, :], y[..., columns, :]))


def centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Move the mean of either cloud to the origin: return `x', y', p, q` with `|x - y|^2 = |x' - y'|^2 + p_i + q_j`.

    What a distance between the clouds adds to the cost is a matter of the potentials alone; without it, the squares
    are smallest, and least is lost where they cancel.
    """
    move = x.mean(-2, keepdim=True) - y.mean(-2, keepdim=True)
    x, y = x - x.mean(-2, keepdim=True), y - y.mean(-2, keepdim=True)
    return x, y, (move * (2 * x + move)).sum(-1), -2 * (move * y).sum(-1)


def log_weights(weights: Tensor) -> Tensor:
    """Return the logarithm; for points without mass a number so low that they never count, and yet finite."""
    return weights.detach().log().clamp(min=-1e30)
