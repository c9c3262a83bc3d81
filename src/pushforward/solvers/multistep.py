"""Second order at one evaluation per step, by a slope kept from the step before."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from torch import Tensor

from pushforward.citations import Reference
from pushforward.papers import FLOWTURBO
from pushforward.solvers.integrate import CountedStepper
from pushforward.solvers.runge_kutta import TABLEAUS, advance

__all__ = ["AdamsBashforth2", "PseudoCorrector"]

_History: TypeAlias = tuple[Tensor, float] | None
"""The slope at the previous node and the length of the step that left it."""


class AdamsBashforth2(CountedStepper):
    """The stepper `x + h [(1 + r/2) f_n - (r/2) f_{n-1}]` with `r = h / h_previous`, started by one Heun step.

    An Euler start would cost a factor of 1.5 to 3 in the error. One evaluation per step, two for the first.
    """

    def step(self, x: Tensor, s: float, e: float, state: _History) -> tuple[Tensor, _History]:
        """Advance from `s` to `e`."""
        h, slope = e - s, self.velocity(x, s)
        if state is None:
            ahead = self.velocity(advance(x, [slope], [1.0], h), e)
            return advance(x, [slope, ahead], TABLEAUS["heun"].b, h), (slope, h)
        previous, r = state[0], h / state[1]
        return advance(x, [slope, previous], [1 + r / 2, -r / 2], h), (slope, h)


class PseudoCorrector(CountedStepper):
    """Heun's step whose first slope is the second one of the step before: `y = x + h k`, `k' = v(y, e)`, `x + (h/2)
    (k + k')`, and k' is kept. One evaluation per step, two for the first.

    The slope kept belongs to the predicted state, a distance of order `h^2` from the corrected one, so the order stays
    two. It is the slope of one field: a method that changes guidance on the way must start afresh.
    """

    references: ClassVar[tuple[Reference, ...]] = (FLOWTURBO,)

    def step(self, x: Tensor, s: float, e: float, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Advance from `s` to `e`."""
        slope = self.velocity(x, s) if state is None else state
        ahead = self.velocity(advance(x, [slope], [1.0], e - s), e)
        return advance(x, [slope, ahead], TABLEAUS["heun"].b, e - s), ahead
