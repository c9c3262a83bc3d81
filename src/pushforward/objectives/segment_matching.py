"""Flow matching between states inside a path: segment by segment."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pushforward.contracts import Loss, Pairs, Path
from pushforward.networks import Field
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.paths import Segments

__all__ = ["SegmentMatching"]

STRAIGHT = Segments()


@dataclass(frozen=True)
class SegmentMatching(Objective):
    """Flow matching on pairs of states inside a path, `x0` at time s and `x1` at time e: `E |field(x_t, t) - (x1 - x0)
    / (e - s)|^2 / d` on the straight line between them.

    `time` is the law of the fraction of the segment where the velocity is learnt: `Discrete(1)` learns it at the starts
    alone, where Euler's method on a grid of these segments evaluates it (and says nothing in between). Whatever the
    field's own path, its velocity is what is learnt. Needs a field that predicts the velocity, and a coupling with
    segment ends, for example `TrajectoryPairs`; elsewhere it raises `InputError`.
    """

    time: TimeLaw = field(default_factory=Uniform)
    condition_dropout: float = 0.0

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss."""
        matching = FlowMatching(self.time, condition_dropout=self.condition_dropout)
        return matching(field, pairs, STRAIGHT, generator=generator)
