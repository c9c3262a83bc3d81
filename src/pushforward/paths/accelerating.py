"""The schedule of points that start at one speed and accelerate at a constant rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.papers import CONSTANT_ACCELERATION
from pushforward.paths.schedule import Schedule

__all__ = ["Accelerating"]


@dataclass(frozen=True)
class Accelerating(Schedule):
    """Straight lines from the velocity `h (x1 - x0)` at a constant acceleration: `x_t = x0 + v0 t + a t^2 / 2` with `v0
    = h (x1 - x0)` and `a = 2 (x1 - x0) - 2 v0`, which is `alpha = h t + (1 - h) t^2`, `sigma = 1 - alpha`.

    1 is constant speed; above it points slow down, below they speed up. Raises `InputError` unless 0 < h < 2: elsewhere
    they would turn back.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSTANT_ACCELERATION,)
    h: float = 1.5

    def __post_init__(self) -> None:
        if not 0 < self.h < 2:
            raise InputError(f"Accelerating needs 0 < h < 2, for points not to turn back, got {self.h}")

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`."""
        alpha, speed = t * (self.h + (1 - self.h) * t), self.h + 2 * (1 - self.h) * t
        return Coefficients(alpha, 1 - alpha, speed, -speed)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return the root in [0, 1] of `h t + (1 - h) t^2 = rho / (1 + rho)`."""
        alpha = 1 / (1 / rho + 1)
        return (2 * alpha / (self.h + torch.sqrt(self.h**2 + 4 * (1 - self.h) * alpha))).clamp(0, 1)
