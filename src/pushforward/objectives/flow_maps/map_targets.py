"""Target rules: what the average velocity over a jump should have been, by the model's own word."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.objectives.flow_maps.derivative import DerivativeRule, MapFn, total_derivative
from pushforward.tensors import bcast

__all__ = ["DiscreteTarget", "EulerianTarget", "MapTarget", "Way"]


class Way(NamedTuple):
    """Jumps from states `x: (B, *event)` at time s to time e > s, the velocity v there, and what the model says of
    them, without gradient.
    """

    x: Tensor
    s: Tensor
    e: Tensor
    v: Tensor
    said: Tensor


class MapTarget(ABC):
    """What `u(x; s, e)` is regressed on where `e > s`; where a jump has no length it is the velocity."""

    @abstractmethod
    def __call__(self, u: MapFn, way: Way) -> Tensor:
        """Return the target: `(B, *event)`, without gradient unless the rule says so."""


@dataclass(frozen=True)
class EulerianTarget(MapTarget):
    """`v + (e - s) D_s u`, from `(e - s) u(x_s; s, e) = x_e - x_s` differentiated in s along the way: MeanFlow.

    The fraction `gradient` of the derivative's own gradient reaches the parameters: 0 stops it, and leaves the
    minimiser where it is also for the velocity v of a pair in the place of its mean; more needs the mean itself. The
    `derivative` is taken in forward mode, or as a central difference. With `damping` it is divided by its size over the
    whole row plus that number, which bounds it, and moves the minimiser away from the flow map.
    """

    gradient: float = 0.0
    derivative: DerivativeRule = "forward"
    damping: float | None = None

    def __post_init__(self) -> None:
        if self.damping is not None and not self.damping > 0:
            raise InputError(f"damping must be positive, got {self.damping}: leave it out for the derivative itself")

    def __call__(self, u: MapFn, way: Way) -> Tensor:
        """Return the target, with one evaluation in forward mode, or two plain ones."""
        x, s, e, v, _ = way
        slope = total_derivative(u, x, s, e, v, graph=self.gradient > 0, rule=self.derivative)
        if 0 < self.gradient < 1:
            slope = torch.lerp(slope.detach(), slope, self.gradient)
        if self.damping is not None:
            slope = slope / (bcast(slope.flatten(1).norm(dim=1), slope) + self.damping)
        return v + bcast(e - s, x) * slope


@dataclass(frozen=True)
class DiscreteTarget(MapTarget):
    """The map pieced together of a straight step over the fraction `alpha` of the jump and the model's own jump over
    the rest: `alpha v + (1 - alpha) u(x_m; m, e)`, `m = s + alpha (e - s)`, `x_m = x_s + (m - s) v` (alpha-Flow).

    What is returned is `said + (that - said) / alpha`: regressed on without a weight, it has the gradient of the error
    over alpha, and as alpha goes to zero `EulerianTarget` remains, D_s u being a difference quotient here. Entries of
    the map pieced together are kept within `clamp` of zero, if that is given.
    """

    alpha: float
    clamp: float | None = None

    def __call__(self, u: MapFn, way: Way) -> Tensor:
        """Return the target, with one ordinary evaluation; none for `alpha = 1`."""
        x, s, e, v, said = way
        if self.alpha == 1:
            return self._clamped(v)
        forward = self.alpha * (e - s)
        with torch.no_grad():
            rest = u(x + bcast(forward, x) * v, s + forward, e)
        return said + (self._clamped(torch.lerp(rest, v, self.alpha)) - said) / self.alpha

    def _clamped(self, target: Tensor) -> Tensor:
        return target if self.clamp is None else target.clamp(-self.clamp, self.clamp)
