"""A truncated kernel: only the entries that carry mass, found by screening all costs with good potentials."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.pairs import Candidates, Collection, Matrix, Piece
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.problem import Problem

__all__ = ["SparseTransform", "screen"]

RESERVED = 1 << 24
"""Pairs that room is reserved for, in address space only, until it is known how many there are."""

LONELY = 1 << 21
"""Costs that are computed at once for columns that are not near to anything."""

TIE = 1e-9
"""Relative difference below which rounding may be all that tells two costs apart."""


def screen(walk: Walk, f: Tensor, g: Tensor, reach: float, most: int) -> Candidates | None:
    """Return the pairs with `C_ij - f_i - g_j < reach`, and the cheapest of every row and column.

    `f` must be about the conjugate of `g`, and the other way round; the walk has to meet the rows in their order.
    Returns None where more than `most` are found.
    """
    n, m = walk.problem.shape
    pairs = Collection(min(most, n * m, RESERVED), g)
    least, met = torch.full_like(g, torch.inf), torch.full_like(g, torch.inf)
    for block in walk.near(f, g, reach):
        slack = block.cost - g[block.columns] - f[block.rows, None]
        least.scatter_reduce_(0, block.columns, slack.amin(0), "amin")
        found = slack <= slack.amin(1, keepdim=True).clamp_(min=reach)
        index = found.flatten().nonzero()[:, 0]
        j = block.columns.index_select(0, index % len(block.columns))
        met.scatter_reduce_(0, j, slack.flatten().index_select(0, index), "amin")
        pairs.add(found.sum(1), j, block.cost.flatten().index_select(0, index))
        if pairs.size > most:
            return None
    found, lonely = pairs.candidates((n, m)), (least >= reach).nonzero()[:, 0]
    for part in lonely.split(max(1, LONELY // n)):
        found = _with_cheapest(walk.problem, found, f, part, met + g)
    return found


def _with_cheapest(problem: Problem, pairs: Candidates, f: Tensor, columns: Tensor, there: Tensor) -> Candidates:
    """Add the cheapest pair of each of these columns, unless one about as cheap is there."""
    costs = problem.columns(columns)
    least, rows = (costs - f[:, None]).min(0)
    new = (least < there[columns] - TIE * least.abs()).nonzero()[:, 0]
    return pairs.inserted(rows[new], columns[new], costs[rows[new], new])


class SparseTransform(SoftTransform):
    """The conjugates over candidate pairs only, for a single problem.

    The kernel has potentials absorbed and is made anew when the arguments leave them by more than `REACH` epsilons.
    """

    REACH = 100.0

    def __init__(self, candidates: Candidates, a: Tensor, b: Tensor, epsilon: float) -> None:
        self.candidates, self.a, self.b, self.epsilon = candidates, a, b, epsilon
        self.values: Tensor | None = None
        self.f0, self.g0 = a.new_zeros(()), b.new_zeros(())

    def at(self, epsilon: float) -> SparseTransform:
        """Return the transform over the same pairs at another regularisation."""
        return SparseTransform(self.candidates, self.a, self.b, epsilon)

    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        self._come_near(g, self.g0, None, g)
        v = self.b * ((g - self.g0) / self.epsilon).exp()
        return self.f0 - self.epsilon * self.kernel.apply(v).log()

    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        self._come_near(f, self.f0, f, None)
        u = self.a * ((f - self.f0) / self.epsilon).exp()
        return self.g0 - self.epsilon * self.kernel.transpose_apply(u).log()

    def shares(self, f: Tensor, g: Tensor, least: float) -> Candidates:
        """Return the pairs whose share `P_ij / a_i` of their row is above `least`, with the shares for costs."""
        self._come_near(g, self.g0, None, g)
        assert self.values is not None
        values, j = self.values, self.candidates.j
        u = ((f - self.f0) / self.epsilon).exp()
        v = self.b * ((g - self.g0) / self.epsilon).exp()

        def large(piece: Piece) -> tuple[Tensor, Tensor]:
            share = values[piece.pairs] * v.index_select(0, j[piece.pairs]) * piece.spread(u)
            return share > least, share

        return self.candidates.select(large)

    def _come_near(self, new: Tensor, absorbed: Tensor, f: Tensor | None, g: Tensor | None) -> None:
        if self.values is None or not bool((new - absorbed).abs().max() < self.REACH * self.epsilon):
            self.values = self._absorb(f, g)
            self.kernel = Matrix(self.candidates, self.values)

    def _absorb(self, f: Tensor | None, g: Tensor | None) -> Tensor:
        """Make the kernel of one potential; the other one is its hard conjugate, so that the largest entries are 1."""
        pairs = self.candidates
        if g is None:
            assert f is not None
            g = pairs.least_of_columns(f, torch.zeros_like(self.b))
        values = torch.empty_like(pairs.costs) if self.values is None else self.values
        self.f0, self.g0 = torch.zeros_like(self.a) if f is None else f, g
        for piece in pairs.pieces():
            slack = pairs.slack(piece, self.f0, g)
            if f is None:
                self.f0[piece.rows] = piece.least(slack)
                slack -= piece.spread(self.f0)
            torch.exp(slack.mul_(-1 / self.epsilon).clamp_(min=-600.0), out=values[piece.pairs])
        return values
