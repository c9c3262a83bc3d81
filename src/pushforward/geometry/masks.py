"""Laws of masks: which entries of a point are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["Hole", "MaskLaw", "Scattered"]


class MaskLaw(ABC):
    """A distribution of masks, for points with holes."""

    @abstractmethod
    def draw(self, shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> Tensor:
        """Draw which entries are known of points of `shape`, `(B, *event)`: booleans, the same for all channels."""


@dataclass(frozen=True)
class Scattered(MaskLaw):
    """Each place is known with probability `share`, whatever the others."""

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InputError(f"Scattered needs a share of known places between 0 and 1, got {self.share}")

    def draw(self, shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `(B, *event)` booleans."""
        device = "cpu" if generator is None else generator.device
        known = torch.rand(_one_channel(shape), generator=generator, device=device) < self.share
        return known.expand(shape)


@dataclass(frozen=True)
class Hole(MaskLaw):
    """All is known but a box at a random place, `share` of every spatial axis long."""

    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise InputError(f"Hole needs a share of each axis above 0 and up to 1, got {self.share}")

    def draw(self, shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `(B, *event)` booleans."""
        device = "cpu" if generator is None else generator.device
        rows, inside = shape[0], torch.ones(_one_channel(shape), dtype=torch.bool, device=device)
        for axis in range(min(2, len(shape) - 1), len(shape)):
            size = shape[axis]
            length = max(1, round(self.share * size))
            first = torch.randint(size - length + 1, (rows, 1), generator=generator, device=device)
            place = torch.arange(size, device=device)
            along = (place >= first) & (place < first + length)
            inside = inside & along.reshape(rows, *(size if k == axis else 1 for k in range(1, len(shape))))
        return (~inside).expand(shape)


def _one_channel(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape if len(shape) == 2 else (shape[0], 1, *shape[2:])
