"""The transport: what every fit returns, whatever the method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pushforward.conditions import Schema, decode
from pushforward.errors import InputError
from pushforward.maps.labels import Labels
from pushforward.measures import Samples

__all__ = ["Transport"]


class Transport(ABC):
    """Moves points of a source onto a target.

    `push` is all a transport must do; where it is invertible it also pulls back, and where it has a density it tells
    it. Points are `(n, *event)` in the user's own units, conditions are what the user wrote (labels, numbers), one per
    row or one for all.

    `event_shape` is the shape of one point, `names` the features' names in the target where they are known.
    """

    event_shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def schema(self) -> Schema:
        """What its conditions mean; empty where it takes none."""
        return {}

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Which of its conditions a data set of the target must bring along."""
        return tuple(self.schema)

    def observed(self, target: Samples, *, generator: torch.Generator | None = None) -> dict[str, np.ndarray] | None:
        """Return what rows of the target are conditioned on, in the user's terms."""
        return None if target.condition is None else decode(target.condition, self.schema)

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where its tensors are."""

    @abstractmethod
    def push(self, x: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry source points `x: (n, *event)` to the target: `(n, *event)`."""

    def pull(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry target points back to the source. Raises `InputError` where the transport is not invertible."""
        raise InputError(f"{type(self).__name__} is not invertible: it has push, but no pull")

    def label(self, y: Tensor, *, steps: int = 1, draws: int = 1, generator: torch.Generator | None = None) -> Labels:
        """Read the labels, the conditions of the target, off points. Raises `InputError` where that is not known."""
        raise InputError(f"{type(self).__name__} reads no labels: fit with --path Symmetric")

    def log_prob(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Log-density in nats of the pushed source at `y`: `(n,)`. Raises `InputError` where there is no density."""
        raise InputError(f"{type(self).__name__} has no density")

    @abstractmethod
    def save(self, directory: str | Path) -> Path:
        """Write the transport to a directory that `pushforward.load` reads."""
