"""Some of all pairs of points, row after row, and matrices with entries there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

__all__ = ["Candidates", "Collection", "Matrix", "Piece"]

CHUNK = 1 << 17
"""Pairs that are worked on at once, so that all passes over them happen in the cache."""


@dataclass(frozen=True)
class Piece:
    """Some rows of candidates, and the places of their pairs; `start` counts from the first of those."""

    rows: slice
    pairs: slice
    start: Tensor

    def spread(self, values: Tensor) -> Tensor:
        """Give every pair the value of its row."""
        return values[self.rows].repeat_interleave(self.start.diff())

    def least(self, values: Tensor) -> Tensor:
        """Return the least value of the pairs of each row."""
        return torch.segment_reduce(values, "min", offsets=self.start, axis=0)

    def count(self, mask: Tensor) -> Tensor:
        """Count the pairs of each row that a mask chooses."""
        return torch.nn.functional.pad(mask.cumsum(0), (1, 0)).index_select(0, self.start).diff()


@dataclass(frozen=True)
class Candidates:
    """Pairs of points in the order of the rows: row `i` has the columns `j[start[i]:start[i + 1]]`, at `costs`.

    There may be tens of millions: columns are counted in 32 bits, and nothing else is made for all of them at once.
    """

    start: Tensor
    j: Tensor
    costs: Tensor
    shape: tuple[int, int]

    @property
    def i(self) -> Tensor:
        """Row of every pair."""
        return torch.repeat_interleave(torch.arange(self.shape[0], device=self.j.device), self.start.diff())

    def pieces(self) -> Iterator[Piece]:
        """Walk through whole rows, about `CHUNK` pairs at a time."""
        marks = torch.arange(0, len(self.j), CHUNK, device=self.start.device)
        for low, high in pairwise(sorted({0, *torch.searchsorted(self.start, marks).tolist(), self.shape[0]})):
            start = self.start[low : high + 1]
            yield Piece(slice(low, high), slice(int(start[0]), int(start[-1])), start - start[0])

    def slack(self, piece: Piece, f: Tensor, g: Tensor) -> Tensor:
        """Return `C_ij - f_i - g_j` for the pairs of a piece."""
        return self.costs[piece.pairs] - piece.spread(f) - g.index_select(0, self.j[piece.pairs])

    def least_of_columns(self, f: Tensor, g: Tensor) -> Tensor:
        """Return `min_i C_ij - f_i - g_j`: `(m,)`."""
        least = torch.full_like(g, torch.inf)
        for piece in self.pieces():
            least.scatter_reduce_(0, self.j[piece.pairs].long(), self.slack(piece, f, g), "amin")
        return least

    def within(self, f: Tensor, g: Tensor, reach: float) -> Candidates:
        """Return the pairs with `C_ij - f_i - g_j <= reach`, and the cheapest of every row and column."""
        of_column = self.least_of_columns(f, g).clamp_(min=reach)

        def near(piece: Piece) -> tuple[Tensor, Tensor]:
            slack, costs = self.slack(piece, f, g), self.costs[piece.pairs]
            of_row = piece.least(slack).repeat_interleave(piece.start.diff())
            return slack <= torch.maximum(of_row, of_column.index_select(0, self.j[piece.pairs])), costs

        return self.select(near)

    def where(self, mask: Tensor) -> Candidates:
        """Return the pairs that a mask chooses."""
        return self.select(lambda piece: (mask[piece.pairs], self.costs[piece.pairs]))

    def select(self, choose: Callable[[Piece], tuple[Tensor, Tensor]]) -> Candidates:
        """Return some pairs at new costs: `choose` gives a mask of the pairs of a piece, and what they cost."""
        found = Collection(len(self.j), self.costs)
        for piece in self.pieces():
            mask, values = choose(piece)
            index = mask.nonzero()[:, 0]
            found.add(piece.count(mask), self.j[piece.pairs].index_select(0, index), values.index_select(0, index))
        return found.candidates(self.shape)

    def inserted(self, i: Tensor, j: Tensor, costs: Tensor) -> Candidates:
        """Return these and other pairs `(i, j)`, each at the end of its row."""
        order = i.argsort(stable=True)
        ends = self.start[1:].index_select(0, i[order]) + torch.arange(len(i), device=i.device)
        counts = self.start.diff() + torch.bincount(i, minlength=self.shape[0])
        columns, values = _inserted(self.j, ends, j[order]), _inserted(self.costs, ends, costs[order])
        return Candidates(_starts(counts), columns, values, self.shape)


class Collection:
    """Pairs that are found row after row. What is `expected` is reserved, not filled, lest anything be there twice."""

    def __init__(self, expected: int, like: Tensor) -> None:
        self.counts: list[Tensor] = []
        self.j, self.costs = like.new_empty(expected, dtype=torch.int32), like.new_empty(expected)
        self.size = 0

    def add(self, counts: Tensor, j: Tensor, costs: Tensor) -> None:
        """Add the pairs of the next rows, so many in each."""
        start, self.size = self.size, self.size + len(j)
        if self.size > len(self.j):
            more = self.size + len(self.j) // 2
            self.j, self.costs = (torch.cat([old, old.new_empty(more - len(old))]) for old in (self.j, self.costs))
        self.j[start : self.size], self.costs[start : self.size] = j, costs
        self.counts.append(counts)

    def candidates(self, shape: tuple[int, int]) -> Candidates:
        """Return what was found."""
        return Candidates(_starts(torch.cat(self.counts)), self.j[: self.size], self.costs[: self.size], shape)


def _starts(counts: Tensor) -> Tensor:
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def _inserted(old: Tensor, places: Tensor, new: Tensor) -> Tensor:
    """Return `new` at its places, and `old` on both sides of them."""
    out = old.new_empty(len(old) + len(new))
    kept = torch.ones_like(out, dtype=torch.bool).index_fill_(0, places, False)
    return out.masked_scatter_(kept, old).index_copy_(0, places, new.to(old.dtype))


class Matrix:
    """A sparse matrix of values at candidate pairs, and its products with vectors.

    On the CPU by SciPy, whose products are the fastest there, without a copy of the values; elsewhere by torch.
    """

    def __init__(self, pairs: Candidates, values: Tensor) -> None:
        if values.device.type == "cpu":
            start = pairs.start.numpy().astype(np.int32 if len(values) < 2**31 else np.int64)
            self.forward = csr_array((values.numpy(), pairs.j.numpy(), start), shape=pairs.shape)
            self.backward = self.forward.T
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch calls its sparse matrices a beta feature
            self.forward = torch.sparse_csr_tensor(
                pairs.start, pairs.j.long(), values, pairs.shape, check_invariants=False
            )
            self.backward = self.forward.to_sparse_coo().T.to_sparse_csr()

    def apply(self, v: Tensor) -> Tensor:
        """Return the product with `v: (m,)`."""
        return _product(self.forward, v)

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return the product of the transpose with `u: (n,)`."""
        return _product(self.backward, u)


def _product(matrix: Any, vector: Tensor) -> Tensor:
    return matrix @ vector if isinstance(matrix, Tensor) else torch.from_numpy(matrix @ vector.numpy())
