"""Newton's method on truncated kernels whose pairs follow the potentials."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.cells import Near, near_cells
from pushforward.ot.entropic.certify import certify
from pushforward.ot.entropic.choice import transform_of
from pushforward.ot.entropic.loop import State
from pushforward.ot.entropic.newton import newton
from pushforward.ot.entropic.pairs import Candidates
from pushforward.ot.entropic.pruned import CELL, PrunedTransform
from pushforward.ot.entropic.sparse import SparseTransform, screen
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.problem import Problem

__all__ = ["Search", "some_rows"]

SAFE = 6.0
"""Exponent by which potentials may move before a pair outside the truncated kernel could matter."""

FIRST = 6.0
"""The same, in addition, for the potentials to start with."""

SAMPLE, LOOK, ENTRIES = 256, 64, 1 << 21
"""Rows from which the spread of the cost and the number of near pairs are estimated, and most of their entries."""


class Search:
    """The pairs of one problem that may matter, at most `most`, and Newton's method on them.

    `pairs` are all with `C_ij - f_i - g_j <= kept epsilon` at the potentials and the regularisation that they were
    chosen for, of which `SAFE` is for movements; None where there are too many.
    """

    def __init__(self, walk: Walk, tolerance: float, most: int) -> None:
        self.walk, self.problem, self.tolerance, self.most = walk, walk.problem, tolerance, most
        self.reach = SAFE + math.log(10 / tolerance)
        self.pairs: Candidates | None = None
        self.kept = 0.0

    def has_room(self, g: Tensor, epsilon: float) -> bool:
        """Tell, by some rows, whether there is room for the pairs that may matter near the potential `g`."""
        rows = some_rows(self.problem, LOOK)
        exponent = (g - self.problem.rows(rows)) / epsilon + self.problem.b.log()
        f = torch.zeros_like(self.problem.a).index_copy(0, rows, -epsilon * exponent.logsumexp(-1))
        return self._is_enough(self._affordable(f, g) / epsilon)

    def begin(self, f: Tensor, g: Tensor, epsilon: float) -> None:
        """Choose pairs by the first potentials, which are only about conjugate."""
        self._screen(f, g, epsilon, self.reach + FIRST)

    def narrow(self, f: Tensor, g: Tensor, epsilon: float) -> None:
        """Choose those that may matter at a smaller regularisation from the pairs that there are."""
        if self.pairs is not None:
            self.kept = 2 * self.reach
            self.pairs = self.pairs.within(f, g, self.kept * epsilon)

    def transform(self, epsilon: float, near: State) -> SoftTransform:
        """Return the transform over the pairs or, where there are too many, over all, given a state that is not far."""
        if self.pairs is not None:
            return SparseTransform(self.pairs, self.problem.a, self.problem.b, epsilon)
        if self._cells is None:
            return transform_of(self.problem, epsilon, torch.float32)
        return PrunedTransform(self._cells, epsilon, torch.float32, near.f, near.g)

    def settle(self, state: State, epsilon: float, tolerance: float, steps: int) -> State:
        """Make Newton steps until `tolerance`, as long as there are pairs.

        Where potentials have moved so far that others could matter, pairs are chosen anew.
        """
        limit = state.iterations + steps
        while self.pairs is not None:
            transform = SparseTransform(self.pairs, self.problem.a, self.problem.b, epsilon)
            allowance = max(SAFE, self.kept - math.log(10 / tolerance)) * epsilon
            left = limit - state.iterations
            done = newton(
                transform, self.problem, state.g, tolerance=tolerance, max_iterations=left, allowance=allowance
            )
            state, stuck = done.after(state), done.iterations == 0
            if state.error <= tolerance or state.iterations >= limit or stuck:
                break
            del transform  # it holds the kernel of the old pairs
            self._screen(state.f, state.g, epsilon, self.reach)
        return state

    def finish(self, state: State, epsilon: float, steps: int) -> State:
        """Settle at the last regularisation, and certify that no pairs were missing; where some were, go on with them.

        The error is infinite where there is no room for all that matter.
        """
        limit = state.iterations + steps
        while True:
            state = self.settle(state, epsilon, self.tolerance / 2, limit - state.iterations)
            f, error = certify(self.walk, state.f, state.g, epsilon, self.reach)
            state, settled = replace(state, f=f, error=error), state.error
            if error <= self.tolerance:
                return state
            if self.pairs is None:
                return replace(state, error=math.inf)
            if state.iterations >= limit or settled > self.tolerance:
                return state
            self._screen(f, state.g, epsilon, self.reach)

    def _screen(self, f: Tensor, g: Tensor, epsilon: float, kept: float) -> None:
        """Choose the pairs up to the exponent `kept`, or up to a lesser one, if there is room for no more."""
        self.pairs = None  # the old ones go before the new ones come
        self.kept = min(kept, self._affordable(f, g) / epsilon)
        if self._is_enough(self.kept):
            self.pairs = screen(self.walk, f, g, self.kept * epsilon, self.most)

    def _is_enough(self, kept: float) -> bool:
        return kept > self.reach - SAFE / 2

    def _affordable(self, f: Tensor, g: Tensor) -> float:
        """Return the slack up to which there is room for the pairs, by the look of some rows."""
        share = self.most / math.prod(self.problem.shape)
        if share >= 1:
            return math.inf
        rows = some_rows(self.problem, LOOK)
        slack = (self.problem.rows(rows) - f[rows].unsqueeze(-1) - g).flatten()
        return float(slack.kthvalue(max(1, int(0.9 * share * len(slack)))).values)

    @cached_property
    def _cells(self) -> Near | None:
        return near_cells(self.problem, CELL)


def some_rows(problem: Problem, most: int = SAMPLE) -> Tensor:
    """Return rows spread over all, few enough to be looked at in between."""
    n, m = problem.shape
    return torch.linspace(0, n - 1, min(most, n, max(16, ENTRIES // m)), device=problem.a.device).long()
