"""What is known of a target point before it is made, where a flow starts from it rather than from noise alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.conditions import Column, Condition, Schema
from pushforward.ends import End
from pushforward.errors import InputError

__all__ = ["Observation", "column_of", "point_column", "points_of"]


class Observation(End, ABC):
    """What is observed of a target point, and where the flow starts given that.

    In training `observe` makes the observation from the target point itself; afterwards the user gives it, as a
    condition. `encode` then puts source points (noise, as a rule) where the flow starts from.
    """

    @abstractmethod
    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Return `schema` with the columns that `observe` adds. Raises `InputError` for a shape or names that do not
        fit.
        """

    @abstractmethod
    def observe(
        self, x1: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Condition:
        """Observe target points `x1: (B, *event)` in any units, and return their condition with the observation."""

    @abstractmethod
    def framed(self, condition: Condition | None, normalise: Callable[[Tensor], Tensor], x: Tensor) -> Condition:
        """Return the condition of the points `x` with its observation brought from a user's units to those of the
        network, by the map that does so with points. Raises `InputError` where there is no observation.
        """

    def free(self, x1: Tensor, condition: Condition) -> Tensor | None:
        """Return where points may move, booleans `(B, *event)`; `None` for everywhere."""
        return None


def point_column(event_shape: tuple[int, ...]) -> Column:
    """Return the column of a condition that holds points, flattened."""
    return Column(None, torch.Size(event_shape).numel())


def column_of(condition: Condition | None, name: str) -> Tensor:
    """Return the column `name`. Raises `InputError` where there is none."""
    if condition is None or name not in condition:
        raise InputError(f"the flow starts from what is known of its end: give the condition {name!r}")
    return condition[name]


def points_of(condition: Condition | None, name: str, x: Tensor) -> Tensor:
    """Return the column `name` as points like `x: (B, *event)`, in its precision and on its device. Raises `InputError`
    where there is no such column.
    """
    return column_of(condition, name).to(x).reshape(x.shape)
