"""What objectives of flow maps share: the velocity of the states, and what targets are made with."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Self

import torch

from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path, Sides
from pushforward.networks import Field
from pushforward.objectives.flow_maps.two_times import TwoTimeObjective
from pushforward.objectives.flow_maps.velocities import Conditional, VelocityRule
from pushforward.objectives.objective import Objective

__all__ = ["FlowMapObjective"]


@dataclass(frozen=True)
class FlowMapObjective(TwoTimeObjective):
    """What objectives share that regress on targets made by a field: the `velocity` that states start with, and the
    average of the weights that targets are made by. Outside a training the objective is what it is at its end.
    """

    velocity: VelocityRule = field(default_factory=Conditional)
    _average: Field | None = field(default=None, init=False, repr=False, compare=False)

    def schema(self, schema: Schema) -> Schema:
        """Return what the conditions mean, with what the velocity tells beside them."""
        return self.velocity.schema(schema)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective, its velocity prepared."""
        return replace(self, velocity=self.velocity.prepared(sides))

    def with_targets_of(self, average: Field) -> Self:
        """Return this objective with targets made by `average`, in the place of the field that is trained."""
        bound = copy(self)
        object.__setattr__(bound, "_average", average)
        return bound

    @property
    def average(self) -> Field | None:
        """What targets are made by, if not by the field that is trained."""
        return self._average

    @abstractmethod
    def at(self, progress: float) -> Objective:
        """Return the regression with the target rule of that time."""

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict the velocity or knows no jumps."""
        return self.at(1.0)(field, pairs, path, generator=generator)
