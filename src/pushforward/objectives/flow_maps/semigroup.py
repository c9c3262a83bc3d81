"""A jump is the two halves of it, one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.objectives.flow_maps.derivative import MapFn
from pushforward.objectives.flow_maps.map_targets import MapTarget, Way
from pushforward.tensors import bcast

__all__ = ["SemigroupTarget"]


@dataclass(frozen=True)
class SemigroupTarget(MapTarget):
    """`[u(x; s, m) + u(x_m; m, e)] / 2` with the middle `m = (s + e) / 2` and `x_m = x + (m - s) u(x; s, m)`, without
    gradient: the velocity that the state starts with is not used.

    Exact for an exact map, at any length. Halves no longer than `shortest` are straight steps with the velocity `u(x;
    t, t)` instead: a map that is learnt by halving jumps has to begin there. Entries of x_m and of the target are kept
    within `clamp` of zero, if that is given.
    """

    shortest: float = 0.0
    clamp: float | None = None

    @torch.no_grad()
    def __call__(self, u: MapFn, way: Way) -> Tensor:
        """Return the target, with two evaluations."""
        x, s, e = way.x, way.s, way.e
        middle = (s + e) / 2
        straight = middle - s < 1.5 * self.shortest  # the next longer halves are twice as long
        first = u(x, s, torch.where(straight, s, middle))
        met = self._clamped(x + bcast(middle - s, x) * first)
        second = u(met, middle, torch.where(straight, middle, e))
        return self._clamped((first + second) / 2)

    def _clamped(self, x: Tensor) -> Tensor:
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)
