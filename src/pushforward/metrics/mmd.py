"""The maximum mean discrepancy between samples under a Gaussian kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.metrics._pairs import Estimator, distance_chunks, flat_pair, mean_between, mean_within
from pushforward.metrics.metric import Metric

__all__ = ["MMD2", "median_bandwidth", "mmd2"]


def mmd2(x: Tensor, y: Tensor, *, bandwidth: float | None = None, estimator: Estimator = "unbiased") -> Tensor:
    """Squared maximum mean discrepancy under the Gaussian kernel `k(x, y) = exp(-|x - y|^2 / (2 h^2))`.

        MMD^2(x, y) = E k(x, x') + E k(y, y') - 2 E k(x, y)

    All pairs are visited in blocks: `n m` time, memory linear in the points.

    Args:
        x: `(n, *event)`.
        y: `(m, *event)`, the reference.
        bandwidth: h, in the unit of x; `None` takes `median_bandwidth(y)`: from the reference only, so that a value
            and its floor, measured against the same reference, use the same kernel.
        estimator: `"unbiased"` leaves out the pairs of a row with itself (zero on average for one law, may be
            negative); `"biased"` is the discrepancy of the two empirical measures, never negative.

    Returns a 0-d tensor in the dtype of x, without unit. Raises `InputError` for a bandwidth that is not positive.

    >>> mmd2(torch.zeros(1, 1), torch.ones(1, 1), bandwidth=1.0, estimator="biased")  # 2 - 2 exp(-1/2)
    tensor(0.7869)
    """
    x, y = flat_pair(x, y)
    h = float(median_bandwidth(y)) if bandwidth is None else bandwidth
    if not h > 0:
        raise InputError(f"bandwidth must be positive, got {h}")

    def kernel(distance: Tensor) -> Tensor:
        return torch.exp(distance.square() * (-0.5 / h**2))

    return mean_within(x, kernel, estimator) + mean_within(y, kernel, estimator) - 2 * mean_between(x, y, kernel)


def median_bandwidth(x: Tensor, points: int = 1000) -> Tensor:
    """Median distance between different rows of `x: (n, *event)`, on at most `points` rows spread evenly over x; 1
    where it vanishes.
    """
    rows = x.flatten(1)[:: max(1, -(-x.shape[0] // points))]
    distances = torch.cat(list(distance_chunks(rows, rows)))
    upper = distances[torch.triu_indices(*distances.shape, offset=1, device=x.device).unbind()]
    median = upper.median() if upper.numel() else x.new_zeros(())
    return torch.where(median > 0, median, torch.ones_like(median))


@dataclass(frozen=True)
class MMD2(Metric):
    """Squared MMD; biased unless asked otherwise, so that value and floor are both positive and comparable."""

    bandwidth: float | None = None
    estimator: Estimator = "biased"

    name: ClassVar[str] = "MMD^2"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "gretton2012kernel", "A Kernel Two-Sample Test",
            "Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Schölkopf, Bernhard and Smola, Alex",
            2012, venue="Journal of Machine Learning Research",
        ),
    )  # fmt: skip

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> float:
        """Return `mmd2` (nothing is drawn)."""
        return float(mmd2(x, y, bandwidth=self.bandwidth, estimator=self.estimator))
