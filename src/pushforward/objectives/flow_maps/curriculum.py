"""Curricula: numbers that change in the course of training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pushforward.errors import InputError

__all__ = ["Curriculum", "Held", "Rising", "Sigmoidal"]


class Curriculum(ABC):
    """A number that depends on the fraction of the training that is done."""

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Return it for `progress` in [0, 1]."""


@dataclass(frozen=True)
class Held(Curriculum):
    """The same `value` all the time."""

    value: float

    def __call__(self, progress: float) -> float:
        """Return the value."""
        return self.value


@dataclass(frozen=True)
class Rising(Curriculum):
    """From 0 until `begin` up to `top` from `end` on, in a straight line between.

    >>> Rising(begin=0.2, end=0.4, top=1.0)(0.25)
    0.24999999999999994
    """

    begin: float = 0.2
    end: float = 0.4
    top: float = 0.5

    def __post_init__(self) -> None:
        _check_order(self.begin, self.end)

    def __call__(self, progress: float) -> float:
        """Return the number."""
        return self.top * min(1.0, max(0.0, (progress - self.begin) / (self.end - self.begin)))


@dataclass(frozen=True)
class Sigmoidal(Curriculum):
    """From 1 down to 0 as `1 - sigmoid(steepness (progress - middle) / (end - begin))`, `middle` that of `begin` and
    `end`, and exactly 1 or 0 where it is within `snap` of it.
    """

    begin: float = 0.0
    end: float = 1.0
    steepness: float = 25.0
    snap: float = 0.005

    def __post_init__(self) -> None:
        _check_order(self.begin, self.end)
        if not self.steepness > 0 or not 0 <= self.snap < 0.5:
            raise InputError(f"Sigmoidal needs a positive steepness and snap in [0, 0.5), got {self}")

    def __call__(self, progress: float) -> float:
        """Return the number."""
        value = 0.5 * (1 - math.tanh(self.steepness / 2 * (progress - self._middle) / (self.end - self.begin)))
        return 1.0 if value > 1 - self.snap else 0.0 if value < self.snap else value

    @property
    def _middle(self) -> float:
        return (self.begin + self.end) / 2


def _check_order(begin: float, end: float) -> None:
    if not begin < end:
        raise InputError(f"a curriculum begins before it ends, got {begin} and {end}")
