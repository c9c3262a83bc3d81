"""Straight lines between states inside a path: what pairs with segment ends are joined by."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.errors import InputError
from pushforward.paths._known import hold_known
from pushforward.tensors import bcast

__all__ = ["Segments"]


@dataclass(frozen=True)
class Segments(Path):
    """Join the state `x0` at time s and the state `x1` at time e of a pair by a straight line: at the fraction u of it
    the time is `t = s + u (e - s)`, the state `x0 + u (x1 - x0)`, the velocity `(x1 - x0) / (e - s)`.

    Training times are read as fractions of each pair's own segment.
    """

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair at the fraction `times.input` of its segment. Raises `InputError` for pairs
        without segment ends.
        """
        if pairs.s is None or pairs.e is None:
            raise InputError("these pairs have no segment ends: take a coupling that has, for example TrajectoryPairs")
        length = pairs.e - pairs.s
        x = torch.lerp(pairs.x0, pairs.x1, bcast(times.input, pairs.x0))
        v = (pairs.x1 - pairs.x0) / bcast(length, pairs.x0)
        if pairs.mask is not None:
            x, v = hold_known(pairs.mask, x, v, pairs.x1)
        return PathPoint(torch.addcmul(pairs.s, times.input, length), x, v, pairs.x0, pairs.x1)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity. Raises `InputError` for any other prediction: the ends are not those of the flow."""
        if kind != "velocity":
            raise InputError(f"segments determine a velocity only, not the {kind}: fit a flow that predicts that")
        return point.v

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Return a prediction of the kind asked for. Raises `InputError` where it is of another."""
        if src != dst:
            raise InputError(f"segments do not turn {src} into {dst}")
        return value
