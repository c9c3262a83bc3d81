"""What objectives of flow maps share: the network of two times, the solver, and what targets are made with."""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import nn

from pushforward.conditions import Schema, check_dropout
from pushforward.contracts import Loss, Pairs, Path, Sides
from pushforward.networks import Architecture, Field, told_twice
from pushforward.objectives.flow_maps.velocities import Conditional, VelocityRule
from pushforward.objectives.objective import Objective
from pushforward.solvers import Jump, Solver

__all__ = ["FlowMapObjective"]


@dataclass(frozen=True)
class FlowMapObjective(Objective):
    """What objectives of flow maps `u(x; s, e)` share: the `velocity` that states start with, and the part of the rows
    whose condition is dropped.

    A network named for the velocity is told a second time (`TwoTime`), and the flow solved by one jump, unless the user
    says otherwise. Outside a training the objective is what it is at its end.
    """

    velocity: VelocityRule = field(default_factory=Conditional)
    condition_dropout: float = field(default=0.0, kw_only=True)
    _average: Field | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

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

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network with a second time; a module of your own has to have one."""
        return told_twice(network)

    def sampler(self) -> Solver:
        """Return one jump."""
        return Jump()

    @abstractmethod
    def at(self, progress: float) -> Objective:
        """Return the regression with the target rule of that time."""

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict the velocity or knows no jumps."""
        return self.at(1.0)(field, pairs, path, generator=generator)
