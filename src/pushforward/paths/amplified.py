"""A schedule on which the data are larger than they are: image scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients, Sides
from pushforward.errors import InputError
from pushforward.papers import IMPROVED_IMMISCIBLE
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import CondOT

__all__ = ["Amplified"]


@dataclass(frozen=True)
class Amplified(Schedule):
    """`x_t = factor alpha_t x1 + sigma_t x0`: data points are further apart than noise is wide, so that their paths
    separate sooner. `Affine` divides by the factor where the flow ends.

    Every signal-to-noise ratio is `factor` times that of the `schedule`: for the rest, this is another law of training
    times. Raises `InputError` unless the factor is positive.

    >>> Amplified(2.0)(torch.tensor([0.5])).alpha
    tensor([1.])
    """

    references: ClassVar[tuple[Reference, ...]] = (IMPROVED_IMMISCIBLE,)
    factor: float
    schedule: Schedule = field(default_factory=CondOT)

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise InputError(f"Amplified needs a positive factor, got {self.factor}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Schedule:
        """Return this with its schedule prepared."""
        return replace(self, schedule=self.schedule.prepared(sides, generator=generator))

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients of the schedule, alpha and its derivative times the factor."""
        c = self.schedule(t)
        return Coefficients(self.factor * c.alpha, c.sigma, self.factor * c.d_alpha, c.d_sigma)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return the time at which the schedule has the ratio `rho / factor`."""
        return self.schedule.snr_inverse(rho / self.factor)

    @property
    def interval(self) -> tuple[float, float]:
        """Return that of the schedule."""
        return self.schedule.interval
