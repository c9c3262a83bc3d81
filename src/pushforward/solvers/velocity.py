"""A field's velocity with its condition bound and its calls counted: what steppers call."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Protocol, TypeAlias, runtime_checkable

from torch import Tensor

from pushforward.conditions import Condition, take
from pushforward.contracts import VelocityField
from pushforward.errors import InputError

__all__ = ["DriftField", "Velocity", "VelocityFn", "counted"]

VelocityFn: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""A plain function of `x: (B, *event)` and `t: (B,)`."""


@runtime_checkable
class DriftField(Protocol):
    """A field that gives velocity and score from one call of its network: half the cost in stochastic solvers."""

    def velocity_and_score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Return dx/dt and the gradient of the log-density at `(x, t)`."""
        ...


class Velocity:
    """dx/dt at `(x, t)` for rows with a fixed condition. `calls` counts the evaluations of the field.

    Times are handed to the field as `(B,)` tensors with the dtype and device of x. Raises `InputError` when the field
    returns another shape than that of x.
    """

    def __init__(self, field: VelocityField, condition: Condition | None = None) -> None:
        self.field = field
        self.condition = condition
        self.calls = 0
        self._window: tuple[Tensor, Tensor] | None = None
        self._told = condition
        self._joint = field if isinstance(field, DriftField) else None  # looked up once: this check is slow

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times that a step must not cross: those that the field names, if it does."""
        return getattr(self.field, "boundaries", ())

    def enter(self, x: Tensor, s: float, e: float) -> None:
        """Go on from the states `x` at time s in the segment of time, between two boundaries, that leads to e.

        The field is asked at times of this segment only: at the last of it for the boundary itself, where the next one
        begins. Forwards, it is told from now on what it works out once for a segment (`Field.entered`).
        """
        times = [-math.inf, *self.boundaries, math.inf]
        number = bisect.bisect(times, (s + e) / 2)
        low, high = x.new_tensor(times[number - 1 : number + 1]).unbind()
        self._window = low, high.nextafter(low)
        entered = getattr(self.field, "entered", None)
        if entered is not None and e > s:
            self._told = entered(x, self._times(x, s), self.condition)

    def _times(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = t.to(x.dtype) if isinstance(t, Tensor) else x.new_full((x.shape[0],), t)
        return t if self._window is None else t.clamp(*self._window)

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """Evaluate at `x: (B, *event)` and a common time, or one time per row `(B,)`."""
        self.calls += 1
        v = self.field.velocity(x, self._times(x, t), self._told)
        if v.shape != x.shape:
            raise InputError(
                f"the field returned a velocity of shape {tuple(v.shape)} for points of shape {tuple(x.shape)}: "
                "both must agree"
            )
        return v

    def with_score(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """Evaluate velocity and score: one call of a `DriftField`, two of any other field."""
        if self._joint is not None:
            self.calls += 1
            return self._joint.velocity_and_score(x, self._times(x, t), self._told)
        v = self(x, t)
        self.calls += 1
        return v, self.field.score(x, self._times(x, t), self._told)

    def refined(self, x: Tensor, t: float, before: Tensor) -> Tensor:
        """Estimate the velocity from the one a short step `before`, with the light network beside the field, which is
        not counted. Raises `InputError` for a field without one.
        """
        refined = getattr(self.field, "refined", None)
        if refined is None:
            raise InputError(f"{type(self.field).__name__} has no refiner: take a program without R, or no guidance")
        return refined(x, self._times(x, t), before, self._told)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.condition, self._told = take(self.condition, rows), take(self._told, rows)


class _Function:
    """A plain function of `(x, t)` as a field."""

    def __init__(self, function: VelocityFn) -> None:
        self.function = function

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.function(x, t)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        raise InputError("a velocity given as a function has no score: pass a field with `velocity` and `score`")


def counted(velocity: Velocity | VelocityFn) -> Velocity:
    """Return the velocity as one that counts its calls."""
    return velocity if isinstance(velocity, Velocity) else Velocity(_Function(velocity))
