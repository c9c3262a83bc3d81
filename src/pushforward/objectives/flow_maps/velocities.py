"""Which velocity flow maps are made of: that of the pair, of the model, of a teacher, or a guided one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema, absent, concatenate_conditions, drop_rows, take
from pushforward.contracts import PathPoint, Sides, VelocityField
from pushforward.errors import InputError
from pushforward.networks import ClassifierFree, Field
from pushforward.tensors import bcast

__all__ = ["Conditional", "Diagonal", "Guided", "Taught", "VelocityRule", "unconditioned"]


class VelocityRule(ABC):
    """Says with which velocity a state starts on its way, for the targets of flow maps."""

    def prepared(self, sides: Sides) -> Self:
        """Return this rule after a look at the data; by default it needs none."""
        return self

    def schema(self, schema: Schema) -> Schema:
        """Return what the conditions mean that the network is told: the same, unless this rule adds some."""
        return schema

    def told(
        self, condition: Condition | None, s: Tensor, *, generator: torch.Generator | None = None
    ) -> Condition | None:
        """Return the conditions of rows at times `s: (B,)`, after some were dropped, with those that this rule adds."""
        return condition

    @abstractmethod
    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return the velocities at the states of a batch, of which the first `moving` jump: `(B, *event)`, without
        gradient.
        """


@dataclass(frozen=True)
class Conditional(VelocityRule):
    """The velocity of the pair, of which the mean is meant: no evaluation, and right wherever it enters linearly."""

    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return it."""
        return point.v


@dataclass(frozen=True)
class Diagonal(VelocityRule):
    """The model's own velocity `u(x; s, s)` for rows that jump, which is the mean once it has been learnt from the rows
    that do not; those have the velocity of the pair.
    """

    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return it, with one evaluation of the rows that jump."""
        if not moving:
            return point.v
        rows = slice(moving)
        with torch.no_grad():
            own = field.velocity(point.x[rows], point.t[rows], take(condition, rows))
        return torch.cat([own, point.v[moving:]])


@dataclass(frozen=True)
class Taught(VelocityRule):
    """The velocity of the flow that is learned from (`teacher` of `fit`, or its `init`), sharpened by classifier-free
    `guidance` where the teacher can be: without noise, and the mean itself.

    Raises `InputError` where there is no such flow.
    """

    guidance: float = 1.0
    _teacher: VelocityField | None = field(default=None, init=False, repr=False, compare=False)

    def prepared(self, sides: Sides) -> Self:
        """Return this rule with its teacher."""
        if sides.teacher is None:
            raise InputError("no flow to be taught by: give fit a teacher, or an init to go on from")
        bound = copy(self)
        object.__setattr__(bound, "_teacher", sides.teacher)
        return bound

    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return it, with one evaluation of the teacher."""
        return self.at(point.x, point.t, condition)

    def at(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return it at any states `x: (B, *event)`, `t: (B,)`, with one evaluation of the teacher."""
        teacher = self._teacher
        if teacher is None:
            raise InputError("Taught has no flow yet: it is told by `prepared`")
        if isinstance(teacher, nn.Module):
            teacher.to(x.device)
        with torch.no_grad():
            return ClassifierFree(teacher, self.guidance).velocity(x, t, condition)


@dataclass(frozen=True)
class Guided(VelocityRule):
    """Classifier-free guidance built into the map, which then needs no second evaluation when it is used: `omega c +
    (1 - omega - kappa) u(x; s, s | nothing) + kappa u(x; s, s | condition)` in the place of the pair's velocity c.

    The scale it amounts to is `omega / (1 - kappa)`. Rows whose condition was dropped, and times outside the
    `interval`, keep the velocity of the pair: train with `condition_dropout`. Raises `InputError` for `kappa >= 1`.
    """

    omega: float = 1.0
    kappa: float = 0.5
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", tuple(self.interval))
        if not 0 <= self.kappa < 1:
            raise InputError(f"kappa lies in [0, 1), got {self.kappa}")

    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return it, with one evaluation of a doubled batch. Raises `InputError` for a flow without conditions."""
        if not condition:
            raise InputError("guidance needs conditions to guide by: leave out the velocity Guided")
        both = concatenate_conditions([drop_rows(condition, 1.0) or {}, condition])
        with torch.no_grad():
            null, own = field.velocity(torch.cat([point.x] * 2), torch.cat([point.t] * 2), both).chunk(2)
        guided = self.omega * point.v + (1 - self.omega - self.kappa) * null + self.kappa * own
        low, high = self.interval
        kept = unconditioned(condition) | (point.t < low) | (point.t > high)
        return torch.where(bcast(kept, guided), point.v, guided)


def unconditioned(condition: Condition) -> Tensor:
    """Tell which rows have no condition, all of them dropped: `(B,)` booleans."""
    return torch.stack([absent(column) for column in condition.values()]).all(0)
