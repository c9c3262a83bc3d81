"""The scripted expert of `TwoRouteReach`, who has two ways to do it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TwoRouteExpert"]


@dataclass(frozen=True)
class TwoRouteExpert:
    """Goes round the obstacle by the way-point (0, height) or (0, -height), with probability 1/2 each, and plans the
    whole way at once, in equal steps of at most `reach` on each leg.
    """

    height: float = 0.75
    reach: float = 0.12
    window: int = 1

    def plan(self, observations: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return displacements `(B, k, 2)` from observations `(B, 1, 6)`; runs with a shorter way end with zeros."""
        upper = torch.rand(len(observations), generator=generator) < 0.5
        heights = torch.where(upper, self.height, -self.height)
        ways = [
            torch.cat([self._leg(seen[:2], by), self._leg(by, seen[4:])])
            for seen, by in zip(observations[:, -1], torch.stack([torch.zeros_like(heights), heights], 1), strict=True)
        ]
        return torch.nn.utils.rnn.pad_sequence(ways, batch_first=True)

    def _leg(self, start: Tensor, end: Tensor) -> Tensor:
        steps = max(1, int(torch.ceil((end - start).norm() / self.reach)))
        return ((end - start) / steps).expand(steps, 2)
