"""Functions of the time in a segment, of which target points that change with it are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.tensors import bcast

__all__ = ["Interpolated", "TimeBasis", "TimePolynomial"]


class TimeBasis(ABC):
    """How N tensors say a target point at every time of a segment."""

    @abstractmethod
    def whole(self, count: int) -> int:
        """Return how many of `count` tensors are target points themselves, the first ones; the rest are changes."""

    @abstractmethod
    def __call__(self, points: Tensor, elapsed: Tensor, length: Tensor) -> Tensor:
        """Return the target point `(B, C, *rest)` of `points: (B, N, C, *rest)` when the time `elapsed: (B,)` of a
        segment of that `length: (B,)` has passed.
        """


@dataclass(frozen=True)
class Interpolated(TimeBasis):
    """Target points at N equal times of the segment, the first where it begins and the last where it ends, and straight
    lines between them.
    """

    def whole(self, count: int) -> int:
        """Return `count`: all are."""
        return count

    def __call__(self, points: Tensor, elapsed: Tensor, length: Tensor) -> Tensor:
        """Return the point between its two neighbours; before the segment the first and after it the last."""
        last, rows = points.shape[1] - 1, torch.arange(len(points), device=points.device)
        if last == 0:
            return points[:, 0]
        place = (elapsed / length * last).clamp(0, last)
        before = place.floor().long().clamp(max=last - 1)
        share = bcast((place - before).to(points), points[:, 0])
        return torch.lerp(points[rows, before], points[rows, before + 1], share)


@dataclass(frozen=True)
class TimePolynomial(TimeBasis):
    """`sum_i (t - s)^i points_i`: the target point where the segment begins, and coefficients of its change. A flow
    whose velocity along its ways is a polynomial of time of degree n has such target points of degree n + 1.
    """

    def whole(self, count: int) -> int:
        """Return 1: the first is."""
        return 1

    def __call__(self, points: Tensor, elapsed: Tensor, length: Tensor) -> Tensor:
        """Return the value of the polynomial, by Horner's rule."""
        *lower, value = points.unbind(1)
        step = bcast(elapsed.to(value), value)
        for coefficient in reversed(lower):
            value = value * step + coefficient
        return value
