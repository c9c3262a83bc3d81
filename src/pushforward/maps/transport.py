"""The transport: what every fit returns, whatever the method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import torch
from torch import Tensor

from pushforward.conditions import Schema
from pushforward.errors import InputError

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
    @abstractmethod
    def device(self) -> torch.device:
        """Where its tensors are."""

    @abstractmethod
    def push(self, x: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry source points `x: (n, *event)` to the target: `(n, *event)`."""

    def pull(self, y: Tensor, condition: object = None) -> Tensor:
        """Carry target points back to the source. Raises `InputError` where the transport is not invertible."""
        raise InputError(f"{type(self).__name__} is not invertible: it has push, but no pull")

    def log_prob(self, y: Tensor, condition: object = None) -> Tensor:
        """Log-density in nats of the pushed source at `y`: `(n,)`. Raises `InputError` where there is no density."""
        raise InputError(f"{type(self).__name__} has no density")

    @abstractmethod
    def save(self, directory: str | Path) -> Path:
        """Write the transport to a directory that `pushforward.load` reads."""
