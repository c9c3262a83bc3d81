"""Both distributions as the network sees them, for pieces that look at the data first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import TrainedField
from pushforward.maps import Frame
from pushforward.measures import Empirical, Measure

__all__ = ["FramedSides"]


@dataclass(frozen=True)
class FramedSides:
    """Two measures, their points brought into the frames of the network: the `Sides` of a fit."""

    measures: tuple[Measure, Measure]
    frames: tuple[Frame, Frame]
    teacher: TrainedField | None = None

    def source(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw `n` source points: `(n, *event)`."""
        return self.frames[0].enter(self.measures[0].sample(n, generator=generator))

    def target(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Condition | None]:
        """Draw `n` target points with their conditions."""
        samples = self.measures[1].draw(n, generator=generator)
        return self.frames[1].enter(samples.x), samples.condition

    @property
    def data(self) -> tuple[Tensor, Tensor, Condition | None] | None:
        """The points of the target, their weights and conditions; `None` where the target is not a finite set."""
        target = self.measures[1]
        if not isinstance(target, Empirical):
            return None
        x = self.frames[1].enter(target.x)
        weight = x.new_full((len(x),), 1 / len(x)) if target.weight is None else target.weight.to(x)
        return x, weight, target.condition

    @property
    def source_data(self) -> Tensor | None:
        """The points of the source; `None` where it is not a finite set."""
        source = self.measures[0]
        return self.frames[0].enter(source.x) if isinstance(source, Empirical) else None
