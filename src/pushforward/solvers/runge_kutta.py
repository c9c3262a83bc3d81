"""Explicit Runge-Kutta methods with fixed steps: tableaus as data, one engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError, nearest
from pushforward.solvers.integrate import CountedStepper
from pushforward.solvers.velocity import Velocity, VelocityFn

__all__ = ["TABLEAUS", "RungeKutta", "Tableau", "advance"]


class Tableau(NamedTuple):
    """A Butcher tableau: stage times `c`, stage weights `a` (one row per stage after the first), final weights `b`, and
    the order.
    """

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int


TABLEAUS: dict[str, Tableau] = {
    "euler": Tableau((0.0,), (), (1.0,), 1),
    "midpoint": Tableau((0.0, 0.5), ((0.5,),), (0.0, 1.0), 2),
    "heun": Tableau((0.0, 1.0), ((1.0,),), (0.5, 0.5), 2),
    "rk4": Tableau((0.0, 0.5, 0.5, 1.0), ((0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4),
}


def advance(x: Tensor, slopes: Sequence[Tensor], weights: Sequence[float], h: float) -> Tensor:
    """Return `x + h sum_j weights_j slopes_j`; zero weights cost nothing. The result is a new tensor."""
    out = x
    for slope, weight in zip(slopes, weights, strict=True):
        if weight and out is x:
            out = torch.add(x, slope, alpha=h * weight)
        elif weight:
            out.add_(slope, alpha=h * weight)  # in place on our own tensor: no gradient formula needs its old value
    return x.clone() if out is x else out


class RungeKutta(CountedStepper):
    """The stepper of a tableau: `k_i = v(x + h sum_j a_ij k_j, s + c_i h)`, then `x + h sum_i b_i k_i`.

    `method` is a name in `TABLEAUS`. The velocity is a `Velocity` or any function of `x: (B, *event)` and `t: (B,)`.
    """

    def __init__(self, velocity: Velocity | VelocityFn, method: str = "midpoint") -> None:
        if method not in TABLEAUS:
            raise InputError(f"unknown method {method!r}{nearest(method, TABLEAUS)}")
        super().__init__(velocity)
        self.tableau = TABLEAUS[method]
        self._inner = tuple(zip(self.tableau.c[1:], self.tableau.a, strict=True))

    def step(self, x: Tensor, s: float, e: float, state: None) -> tuple[Tensor, None]:
        """Advance from `s` to `e`."""
        h, slopes = e - s, [self.velocity(x, s)]
        for time, weights in self._inner:
            # stages at the end of the step see the node itself, not s + h with its rounding
            slopes.append(self.velocity(advance(x, slopes, weights, h), e if time == 1 else s + time * h))
        return advance(x, slopes, self.tableau.b, h), None
