"""Antithetic pairs: every point beside the one with the path's noise negated."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.conditions import Condition, take
from pushforward.contracts import Pairs, Path, PathPoint, Times

__all__ = ["with_reflections"]


def with_reflections(
    path: Path, point: PathPoint, pairs: Pairs, times: Times, condition: Condition | None
) -> tuple[PathPoint, Pairs, Times, Condition | None]:
    """Return points, pairs, times and conditions of `2 B` rows, the second half with the path's noise negated.

    Raises `InputError` for a path without noise.
    """
    partner = path.reflected(point, pairs, times)
    rows = torch.arange(len(pairs), device=pairs.x1.device).repeat(2)
    label, moved, log_prob = (t[rows] for t in (times.label, times.input, times.log_prob))
    return _joined(point, partner), pairs[rows], Times(label, moved, log_prob), take(condition, rows)


def _joined(one: PathPoint, other: PathPoint) -> PathPoint:
    def both(name: str) -> Tensor:
        return torch.cat([getattr(one, name), getattr(other, name)])

    z = None if one.z is None else both("z")
    return PathPoint(both("t"), both("x"), both("v"), both("x0"), both("x1"), z)
