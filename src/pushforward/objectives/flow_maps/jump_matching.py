"""Regression of a flow map on jumps that are known: between states of one trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from pushforward.conditions import check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.networks import Architecture, Field, told_twice
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.paths import Segments
from pushforward.solvers import Jump, Solver

__all__ = ["JumpMatching"]

STRAIGHT = Segments()


@dataclass(frozen=True)
class JumpMatching(Objective):
    """Learn the jumps between pairs of states of one trajectory, `x0` at time s and `x1` at time e:
    `E |u(x0; s, e) - (x1 - x0) / (e - s)|^2 / d` (consistency mid-training).

    Nothing is bootstrapped: the trajectories of a teacher say where every jump goes, as far as they are right, and
    nothing is learnt off them. Needs a coupling with segment ends, `TrajectoryPairs(reach="any")`; elsewhere it raises
    `InputError`.
    """

    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network with a second time; a module of your own has to have one."""
        return told_twice(network)

    def sampler(self) -> Solver:
        """Return one jump."""
        return Jump()

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict the velocity or knows no jumps."""
        begin = pairs.x1.new_zeros(len(pairs))
        point = STRAIGHT.point(pairs, Times(begin, begin, begin))
        assert pairs.e is not None  # by `Segments.point`
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        said = field.mean_velocity(point.x, point.t, pairs.e, condition)
        return Regression(said, (point.v,), pairs, (None,), field.predicts).loss()
