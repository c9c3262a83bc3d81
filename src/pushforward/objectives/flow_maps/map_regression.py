"""The regression of flow maps: one engine, of which the methods are target rules."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from pushforward.conditions import drop_rows, take
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.networks import Field
from pushforward.objectives.distance import Distance, SquaredError
from pushforward.objectives.flow_maps.adaptive import Adaptive
from pushforward.objectives.flow_maps.flow_map import FlowMapObjective
from pushforward.objectives.flow_maps.map_targets import MapTarget, Way
from pushforward.objectives.flow_maps.time_pairs import JumpLaw, TimePairs
from pushforward.objectives.flow_maps.velocities import VelocityRule
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression

__all__ = ["MapObjective", "MapRegression"]


@dataclass(frozen=True)
class MapObjective(FlowMapObjective):
    """Objectives of flow maps with jumps between any two times: the law of `times` s and e, the `weighting` of rows by
    their error, and a `target` rule, which may change in the course of training.
    """

    times: TimePairs = field(default_factory=TimePairs)
    weighting: Adaptive = field(default_factory=Adaptive)

    @abstractmethod
    def target(self, progress: float) -> MapTarget:
        """Return the target rule when the fraction `progress` of the training is done."""

    def at(self, progress: float) -> MapRegression:
        """Return the regression with the target rule of that time."""
        return MapRegression(self.target(progress), self.velocity, self.times, self.weighting, self.condition_dropout)


@dataclass(frozen=True)
class MapRegression(Objective):
    """`E w |u(x_s; s, e) - target|^2 / d`, with x_s on the path of a pair: the rule `target` where the jump from s to e
    has a length, and where it has none the `velocity`, so that `u(x; t, t)` is the field of a flow.

    Targets are made with the field itself, or with an `average` of it. With another `distance` that is what is taken of
    the difference.
    """

    target: MapTarget
    velocity: VelocityRule
    times: JumpLaw
    weighting: Adaptive
    condition_dropout: float = 0.0
    distance: Distance = field(default_factory=SquaredError)
    average: Field | None = None

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, with the mean squared `error` before its weights among the terms."""
        drawn = {"generator": generator, "device": pairs.x1.device, "dtype": pairs.x1.dtype}
        s, e, moving = self.times.sample(len(pairs), path.interval, **drawn)
        point = path.point(pairs, Times(s, s, torch.zeros_like(s)), generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        condition = self.velocity.told(condition, s, generator=generator)
        teacher = field if self.average is None else self.average
        v = self.velocity(teacher, point, condition, moving)
        said = field.mean_velocity(point.x, s, e, condition)
        rows = slice(moving)
        told = take(condition, rows)

        def u(x: Tensor, s: Tensor, e: Tensor) -> Tensor:
            return teacher.mean_velocity(x, s, e, told)

        way = Way(point.x[rows], s[rows], e[rows], v[rows], said[rows].detach())
        target = torch.cat([self.target(u, way), v[moving:]]) if moving else v
        return self._loss(Regression(said, (target,), pairs, (None,), field.predicts, self.distance))

    def _loss(self, regression: Regression) -> Loss:
        error = regression.errors()[0].detach()
        weight = self.weighting(error, regression.prediction[0].numel())
        loss = replace(regression, weights=(weight,)).loss()
        return replace(loss, terms={"error": error.mean()} | loss.terms)
