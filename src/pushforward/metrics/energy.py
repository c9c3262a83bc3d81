"""The energy distance between samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.metrics._pairs import Estimator, flat_pair, mean_between, mean_within
from pushforward.metrics.metric import Metric

__all__ = ["EnergyDistance", "energy_distance"]


def energy_distance(x: Tensor, y: Tensor, *, estimator: Estimator = "biased") -> Tensor:
    """Energy distance between two samples, without the factor 1/2.

        D(x, y) = 2 E|x - y| - E|x - x'| - E|y - y'|

    In one dimension it is twice the integral of the squared difference of the distribution functions. It has the unit
    of x (it is the square of a metric). All pairs are visited in blocks: `n m` time, memory linear in the points.

    Args:
        x: `(n, *event)`.
        y: `(m, *event)`.
        estimator: `"biased"` is the distance of the two empirical measures, never negative and zero for equal
            samples; two samples of one law are then `(1/n + 1/m) E|x - x'|` apart on average, which is what a floor
            shows. `"unbiased"` leaves out the pairs of a row with itself: zero on average for one law, at the price
            of negative values.

    Returns a 0-d tensor in the dtype of x. Raises `InputError` unless the events and dtypes agree.

    >>> energy_distance(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]]))
    tensor(10.)
    """
    x, y = flat_pair(x, y)
    within = mean_within(x, _identity, estimator) + mean_within(y, _identity, estimator)
    return 2 * mean_between(x, y, _identity) - within


def _identity(distance: Tensor) -> Tensor:
    return distance


@dataclass(frozen=True)
class EnergyDistance(Metric):
    """Energy distance; biased unless asked otherwise, so that value and floor are both positive and comparable."""

    estimator: Estimator = "biased"

    name: ClassVar[str] = "energy distance"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "szekely2013energy", "Energy statistics: A class of statistics based on distances",
            "Székely, Gábor J. and Rizzo, Maria L.", 2013, venue="Journal of Statistical Planning and Inference",
        ),
    )  # fmt: skip

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> float:
        """Return `energy_distance` (nothing is drawn)."""
        return float(energy_distance(x, y, estimator=self.estimator))
