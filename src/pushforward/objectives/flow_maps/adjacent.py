"""Laws of two times close to each other, which come closer in the course of training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.objectives.draws import Draws
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.solvers import GridRule
from pushforward.solvers import Uniform as EqualSteps

__all__ = ["AdjacentTimes", "Neighbours", "Steps", "Tuned"]


class Steps(NamedTuple):
    """Times `t` and `r > t`, and weights in proportion to `1 / (r - t)` which are 1 at the source, `(B,)` each."""

    t: Tensor
    r: Tensor
    weight: Tensor


@dataclass(frozen=True)
class AdjacentTimes(ABC):
    """Short steps from times of a `law`."""

    law: TimeLaw = field(default_factory=Uniform)

    def sample(self, draws: Draws, progress: float, interval: tuple[float, float] = (0.0, 1.0)) -> Steps:
        """Draw steps when the fraction `progress` of the training is done, squeezed into an interval of times."""
        t = self.law.times(draws).label
        low, high = interval
        t, r, gap = self.stepped(t, progress)
        return Steps(low + (high - low) * t, low + (high - low) * r, gap / (r - t))

    @abstractmethod
    def stepped(self, t: Tensor, progress: float) -> tuple[Tensor, Tensor, float]:
        """Return where the steps at times `t: (B,)` begin and end, and the length of a step from t = 0."""


@dataclass(frozen=True)
class Neighbours(AdjacentTimes):
    """Neighbours on a `grid` of N steps: those around a time of the law. N doubles from `first` up to `last`, each for
    as long.

    >>> [Neighbours(first=10, last=40).count(progress) for progress in (0.0, 0.5, 1.0)]
    [10, 20, 40]
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "song2023improved",
            "Improved Techniques for Training Consistency Models",
            "Song, Yang and Dhariwal, Prafulla",
            2023,
            arxiv="2310.14189",
        ),
    )
    grid: GridRule = field(default_factory=EqualSteps)
    first: int = 10
    last: int = 1280

    def __post_init__(self) -> None:
        if not 1 <= self.first <= self.last:
            raise InputError(f"Neighbours needs 1 <= first <= last, got {self.first} and {self.last}")

    def count(self, progress: float) -> int:
        """Return N when the fraction `progress` of the training is done."""
        doublings = math.ceil(math.log2(self.last / self.first))
        return min(self.last, self.first * 2 ** min(doublings, int(progress * (doublings + 1))))

    def stepped(self, t: Tensor, progress: float) -> tuple[Tensor, Tensor, float]:
        """Return the cells of the grid that the times lie in."""
        grid = self.grid(self.count(progress)).nodes
        nodes = grid.to(t)
        cell = (torch.bucketize(t, nodes, right=True) - 1).clamp(0, len(nodes) - 2)
        return nodes[cell], nodes[cell + 1], float(grid[1])


@dataclass(frozen=True)
class Tuned(AdjacentTimes):
    """Steps over a fraction of what is left of the way, `(r - t) / (1 - t) = min(1, n / 2^(k + 1))` with `n = 1 + 8
    sigmoid(-(1 - t) / t)`, in `stages` k = 0, 1, ...: at first most go to the data themselves, then they shrink.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "geng2024consistency",
            "Consistency Models Made Easy",
            "Geng, Zhengyang and Pokle, Ashwini and Luo, William and Lin, Justin and Kolter, J. Zico",
            2024,
            arxiv="2406.14548",
        ),
    )
    stages: int = 8

    def __post_init__(self) -> None:
        if self.stages < 1:
            raise InputError(f"Tuned needs at least one stage, got {self.stages}")

    def stepped(self, t: Tensor, progress: float) -> tuple[Tensor, Tensor, float]:
        """Return the times and where their steps end."""
        divisor = 2.0 ** (1 + min(self.stages - 1, int(progress * self.stages)))
        t = t.clamp(max=1 - torch.finfo(t.dtype).eps)
        left = 1 - t
        share = (1 + 8 * torch.sigmoid(-left / t)) / divisor
        return t, torch.where(share < 1, t + left * share, 1.0), 1 / divisor
