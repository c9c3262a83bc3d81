"""What is minimised: a loss of a field on pairs along a path."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path
from pushforward.networks import Field

__all__ = ["Objective"]


class Objective(ABC):
    """One training step is `objective(field, coupling(x0, x1, condition), path).total.backward()`."""

    def schema(self, schema: Schema) -> Schema:
        """Return what the conditions mean that the network is trained with, given those of the pairs: the same, unless
        the objective adds some.
        """
        return schema

    @abstractmethod
    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss of `field` on a batch of pairs; times and the path's noise are drawn from `generator`.

        Raises `InputError` where the field predicts what the pairs do not determine.
        """
