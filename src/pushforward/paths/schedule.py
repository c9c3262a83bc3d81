"""Schedules of affine paths: how much of the data and of the noise the state holds at each time."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from pushforward.contracts import Coefficients, Sides
from pushforward.tensors import bcast

__all__ = ["Schedule"]


class Schedule(ABC):
    """The coefficients of `x_t = alpha_t x1 + sigma_t x0` and their derivatives in t.

    Every schedule ends (nearly) at the data: `sigma_1 = 0` and `alpha_1 = 1`, or at `alpha_1` times the data. Where
    `sigma_0` is not one, or `alpha_0` not zero, sampling starts from `sigma_0 x0`, not from `x0`: see
    `Affine.source_end`.
    """

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Schedule:
        """Return this schedule after a look at the data; by default it needs none."""
        return self

    @abstractmethod
    def __call__(self, t: Tensor) -> Coefficients:
        """Return `alpha, sigma, alpha', sigma'` at `t`, each of the shape, dtype and device of `t`."""

    @abstractmethod
    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return the time at which `alpha / sigma = rho >= 0` (infinity allowed), clamped to [0, 1] where rho is out of
        reach.
        """

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the derivatives are finite."""
        return (0.0, 1.0)

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the state and the velocity of the pairs `x0, x1: (B, *event)` at `t: (B,)`."""
        alpha, sigma, d_alpha, d_sigma = (bcast(c, x1) for c in self(t))
        return torch.addcmul(sigma * x0, alpha, x1), torch.addcmul(d_sigma * x0, d_alpha, x1)
