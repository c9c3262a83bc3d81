"""What is minimised: a loss of a field on pairs along a path."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import nn

from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path, Sides
from pushforward.networks import Architecture, Field
from pushforward.solvers import DormandPrince, Solver

__all__ = ["Minimised", "Objective"]


class Minimised:
    """What training asks of whatever it minimises, beside the loss: how that changes on the way, and what its targets
    are made with.
    """

    def at(self, progress: float) -> Any:
        """Return what is minimised when the fraction `progress` of the training is done: the same, unless it changes on
        the way.
        """
        return self

    def target_average(self) -> float | None:
        """Return the decay of a second average of the weights, beside that of sampling, that targets are made with
        (`with_targets_of`), which training then keeps; `None` where they are made with the present weights, or with
        none.
        """
        return None

    def with_targets_of(self, average: Field) -> Any:
        """Return this with targets made by `average`, the field with its averaged weights."""
        return self


class Objective(Minimised, ABC):
    """One training step is `objective(field, coupling(x0, x1, condition), path).total.backward()`."""

    from_target = False  # annotated, the command line would look for ClassVar in the module of every objective
    """Whether what it trains moves points of the target, so that the source comes in the units of that."""

    def schema(self, schema: Schema) -> Schema:
        """Return what the conditions mean that the network is trained with, given those of the pairs: the same, unless
        the objective adds some.
        """
        return schema

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective after a look at the data, from which it may set itself up; by default it needs none."""
        return self

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return what is trained where the user names a `network` for the velocity: that, unless more than the velocity
        is asked of it.
        """
        return network

    def sampler(self) -> Solver:
        """Return how what it trains is solved unless told otherwise."""
        return DormandPrince()

    @abstractmethod
    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss of `field` on a batch of pairs; times and the path's noise are drawn from `generator`.

        Raises `InputError` where the field predicts what the pairs do not determine.
        """
