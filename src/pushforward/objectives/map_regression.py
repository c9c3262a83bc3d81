"""The regression of flow maps: one engine, of which the methods are target rules."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn

from pushforward.conditions import check_dropout, drop_rows, take
from pushforward.contracts import Loss, Pairs, Path, Sides, Times
from pushforward.errors import InputError
from pushforward.networks import Architecture, Field, TwoTime
from pushforward.objectives.adaptive import Adaptive
from pushforward.objectives.map_targets import MapTarget, Way
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.objectives.time_pairs import TimePairs
from pushforward.objectives.velocities import Conditional, VelocityRule
from pushforward.solvers import Jump, Solver

__all__ = ["MapObjective", "MapRegression"]


@dataclass(frozen=True)
class MapObjective(Objective):
    """What objectives of flow maps `u(x; s, e)` share: the `velocity` that states start with, the law of `times` s and
    e, the `weighting` of rows by their error, and the part of rows whose condition is dropped.

    A network named for the velocity is told a second time (`TwoTime`), and the flow solved by one jump, unless the user
    says otherwise. Outside a training the objective is what it is at its end.
    """

    velocity: VelocityRule = field(default_factory=Conditional)
    times: TimePairs = field(default_factory=TimePairs)
    weighting: Adaptive = field(default_factory=Adaptive)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    @abstractmethod
    def target(self, progress: float) -> MapTarget:
        """Return the target rule when the fraction `progress` of the training is done."""

    def at(self, progress: float) -> MapRegression:
        """Return the regression with the target rule of that time."""
        return MapRegression(self.target(progress), self.velocity, self.times, self.weighting, self.condition_dropout)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective, its velocity prepared."""
        return replace(self, velocity=self.velocity.prepared(sides))

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network with a second time; a module of your own has to have one."""
        if isinstance(network, TwoTime) or not isinstance(network, Architecture):
            return network
        return TwoTime(network)

    def sampler(self) -> Solver:
        """Return one jump."""
        return Jump()

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict the velocity or knows no jumps."""
        return self.at(1.0)(field, pairs, path, generator=generator)


@dataclass(frozen=True)
class MapRegression(Objective):
    """`E w |u(x_s; s, e) - target|^2 / d`, with x_s on the path of a pair: the rule `target` where the jump from s to e
    has a length, and where it has none the `velocity`, so that `u(x; t, t)` is the field of a flow.
    """

    target: MapTarget
    velocity: VelocityRule
    times: TimePairs
    weighting: Adaptive
    condition_dropout: float = 0.0

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, with the mean squared `error` before its weights among the terms."""
        if field.predicts != ("velocity",):
            raise InputError(f"flow maps are velocities: the field predicts {', '.join(field.predicts)}")
        drawn = {"generator": generator, "device": pairs.x1.device, "dtype": pairs.x1.dtype}
        s, e, moving = self.times.sample(len(pairs), path.interval, **drawn)
        point = path.point(pairs, Times(s, s, torch.zeros_like(s)), generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        v = self.velocity(field, point, condition, moving)
        said = field.mean_velocity(point.x, s, e, condition)
        rows = slice(moving)
        told = take(condition, rows)

        def u(x: Tensor, s: Tensor, e: Tensor) -> Tensor:
            return field.mean_velocity(x, s, e, told)

        way = Way(point.x[rows], s[rows], e[rows], v[rows], said[rows].detach())
        target = torch.cat([self.target(u, way), v[moving:]]) if moving else v
        return self._loss(Regression(said, (target,), pairs, (None,), field.predicts))

    def _loss(self, regression: Regression) -> Loss:
        error = regression.errors()[0].detach()
        weight = self.weighting(error, regression.prediction[0].numel())
        loss = replace(regression, weights=(weight,)).loss()
        return replace(loss, terms={"error": error.mean()} | loss.terms)
