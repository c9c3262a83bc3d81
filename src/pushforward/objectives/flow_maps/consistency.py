"""Consistency training: neighbours on a path lead to the same end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn

from pushforward.citations import Reference
from pushforward.conditions import drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.networks import Architecture, Field, ToEnd
from pushforward.objectives.distance import Distance, SquaredError
from pushforward.objectives.draws import Draws
from pushforward.objectives.flow_maps.adjacent import AdjacentTimes, Neighbours
from pushforward.objectives.flow_maps.flow_map import FlowMapObjective
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.solvers import Renoised, Solver
from pushforward.tensors import bcast

__all__ = ["Consistency"]


@dataclass(frozen=True)
class Consistency(FlowMapObjective):
    """Learn where the flow ends, `f(x, t) = x + (1 - t) u(x; t, 1)`, from two neighbours on one way: `E w D(f(x_t, t) -
    sg f(x_r, r)) / d` with `x_r = x_t + (r - t) v`, D the `distance`, and `f(x, 1) = x` where it all begins.

    t and r are drawn by `times`, which lets them come closer in the course of training: with the velocity of the pair,
    as for data, the minimiser is off by a term of order r - t. `velocity=Taught()` distils a flow. Targets are made
    with the present weights, or with an average of them of decay `target_decay`. The squared error, the default, is
    that of the least bias; authors take `PseudoHuber(c)`, c = 0.00054 sqrt(d), or the norm.

    A network named for the velocity becomes `ToEnd`, and the flow is solved by `Renoised` jumps, which need one
    evaluation each; it has no velocity.
    """

    references: ClassVar[tuple[Reference, ...]] = ToEnd.references
    times: AdjacentTimes = field(default_factory=Neighbours)
    distance: Distance = field(default_factory=SquaredError)
    target_decay: float | None = None

    def target_average(self) -> float | None:
        """Return `target_decay`."""
        return self.target_decay

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network as one of jumps to the end; a module of your own has to be one."""
        return network if isinstance(network, ToEnd) or not isinstance(network, Architecture) else ToEnd(network)

    def sampler(self) -> Solver:
        """Return one jump."""
        return Renoised()

    def at(self, progress: float) -> Objective:
        """Return the regression with the steps of that time."""
        return _Regression(self, progress)


@dataclass(frozen=True)
class _Regression(Objective):
    """The objective at one time of the training."""

    rule: Consistency
    progress: float

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        rule = self.rule
        draws = Draws(len(pairs), generator, pairs.x1.device, torch.promote_types(pairs.x1.dtype, torch.float32))
        t, r, weight = (value.to(pairs.x1.dtype) for value in rule.times.sample(draws, self.progress, path.interval))
        point, end = path.point(pairs, Times(t, t, torch.zeros_like(t)), generator=generator), torch.ones_like(t)
        condition = drop_rows(pairs.condition, rule.condition_dropout, generator=generator)
        condition = rule.velocity.told(condition, t, generator=generator)
        said = point.x + bcast(1 - t, point.x) * field.mean_velocity(point.x, t, end, condition)
        teacher = field if rule.average is None else rule.average
        with torch.no_grad():
            later = point.x + bcast(r - t, point.x) * rule.velocity(teacher, point, condition, len(pairs))
            target = later + bcast(1 - r, later) * teacher.mean_velocity(later, r, end, condition)
        loss = Regression(said, (target,), pairs, (weight,), field.predicts, rule.distance).loss()
        return replace(loss, terms={"step": (r - t).mean()} | loss.terms)
