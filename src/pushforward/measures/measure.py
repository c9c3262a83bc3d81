"""A measure: something that can be sampled, by a generator or as an endless reproducible stream of blocks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition, Schema
from pushforward.randomness import seeded

__all__ = ["Measure", "Samples"]


@dataclass(frozen=True)
class Samples:
    """Rows drawn from a measure: points `x: (n, *event)` and, where the measure has one, the encoded condition of each
    row.
    """

    x: Tensor
    condition: Condition | None = None


class Measure(ABC):
    """A probability distribution on points of shape `event_shape`."""

    @property
    @abstractmethod
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, without the batch."""

    @abstractmethod
    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, *event_shape)`."""

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Samples:
        """Draw `n` independent points with their conditions."""
        return Samples(self.sample(n, generator=generator))

    @property
    def schema(self) -> Schema:
        """What the conditions of its rows mean; empty when it has none."""
        return {}

    @property
    def is_standard_normal(self) -> bool:
        """Whether this is exactly N(0, I), so that scores can be derived from velocities."""
        return False

    @property
    def is_noise(self) -> bool:
        """Whether this is noise made up to start from, in units of its own: it is not rescaled with the data, and
        paired independently of them.
        """
        return self.is_standard_normal

    def block(self, index: int, n: int, *, seed: int) -> Samples:
        """Return block `index` of `n` rows of the endless stream that `seed` determines (blocks can be asked for in
        any order).
        """
        return Samples(self.sample(n, generator=seeded(seed, "block", index)))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at `x: (n, *event_shape)`, `(n,)` in nats. Raises `NotImplementedError` where there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no density")
