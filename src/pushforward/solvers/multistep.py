"""Adams-Bashforth of order two on any grid: second order at one evaluation per step."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

from pushforward.solvers.grid import Grid
from pushforward.solvers.runge_kutta import TABLEAUS, advance
from pushforward.solvers.velocity import Velocity, VelocityFn, counted

__all__ = ["AdamsBashforth2"]

_History: TypeAlias = tuple[Tensor, float] | None
"""The slope at the previous node and the length of the step that left it."""


class AdamsBashforth2:
    """The stepper `x + h [(1 + r/2) f_n - (r/2) f_{n-1}]` with `r = h / h_previous`, started by one Heun step.

    An Euler start would cost a factor of 1.5 to 3 in the error. One evaluation per step, two for the first.
    """

    def __init__(self, velocity: Velocity | VelocityFn) -> None:
        self.velocity = counted(velocity)

    @property
    def evaluations(self) -> int:
        """Number of network evaluations so far."""
        return self.velocity.calls

    def init(self, x: Tensor, grid: Grid) -> _History:
        """Return the empty history."""
        return None

    def step(self, x: Tensor, s: float, e: float, state: _History) -> tuple[Tensor, _History]:
        """Advance from `s` to `e`."""
        h, slope = e - s, self.velocity(x, s)
        if state is None:
            ahead = self.velocity(advance(x, [slope], [1.0], h), e)
            return advance(x, [slope, ahead], TABLEAUS["heun"].b, h), (slope, h)
        previous, r = state[0], h / state[1]
        return advance(x, [slope, previous], [1 + r / 2, -r / 2], h), (slope, h)
