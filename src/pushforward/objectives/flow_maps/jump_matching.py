"""Regression of a flow map on jumps that are known: between states of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pushforward.conditions import drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.networks import Field
from pushforward.objectives.flow_maps.two_times import TwoTimeObjective
from pushforward.objectives.regression import Regression
from pushforward.paths import Segments

__all__ = ["JumpMatching"]

STRAIGHT = Segments()


@dataclass(frozen=True)
class JumpMatching(TwoTimeObjective):
    """Learn the jumps between pairs of states of one trajectory, `x0` at time s and `x1` at time e:
    `E |u(x0; s, e) - (x1 - x0) / (e - s)|^2 / d` (consistency mid-training).

    Nothing is bootstrapped: the trajectories of a teacher say where every jump goes, as far as they are right, and
    nothing is learnt off them. Needs a coupling with segment ends, `TrajectoryPairs(reach="any")`; elsewhere it raises
    `InputError`.
    """

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict the velocity or knows no jumps."""
        begin = pairs.x1.new_zeros(len(pairs))
        point = STRAIGHT.point(pairs, Times(begin, begin, begin))
        assert pairs.e is not None  # by `Segments.point`
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        said = field.mean_velocity(point.x, point.t, pairs.e, condition)
        return Regression(said, (point.v,), pairs, (None,), field.predicts).loss()
