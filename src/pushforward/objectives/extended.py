"""Objectives around another one, to whose loss they add something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self, cast

import torch
from torch import nn

from pushforward.conditions import Schema
from pushforward.contracts import Sides
from pushforward.networks import Architecture, Field
from pushforward.objectives.objective import Objective
from pushforward.solvers import Solver

__all__ = ["Extended"]


class Extended(Objective):
    """What objectives around another share: everything but the loss is that of their `base`, a field of a dataclass."""

    base: Objective

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective, its base prepared."""
        return self._around(self.base.prepared(sides, generator=generator))

    def at(self, progress: float) -> Self:
        """Return this objective with what its base is then."""
        return self._around(self.base.at(progress))

    def target_average(self) -> float | None:
        """Return that of the base objective."""
        return self.base.target_average()

    def with_targets_of(self, average: Field) -> Self:
        """Return this objective, its base with these targets."""
        return self._around(self.base.with_targets_of(average))

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network that the base objective trains."""
        return self.base.architecture(network)

    def sampler(self) -> Solver:
        """Return the solver of the base objective."""
        return self.base.sampler()

    def _around(self, base: Objective) -> Self:
        return replace(cast(Any, self), base=base)
