"""The Sinkhorn divergence between samples: optimal transport smoothed, without bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.metrics._pairs import flat_pair, subsample
from pushforward.metrics.metric import Metric
from pushforward.ot.divergence import sinkhorn_divergence

__all__ = ["SinkhornDivergence"]


@dataclass(frozen=True)
class SinkhornDivergence(Metric):
    """Sinkhorn divergence of the squared distance, on at most `points` random rows of each side; the unit is squared.

    Between W2^2 (small `epsilon`) and the squared distance of the means (large). `epsilon` is in units of the squared
    distance; unless given, it is a twentieth of the mean squared distance between two rows of the reference. The
    divergence itself, with derivatives, is `pushforward.ot.sinkhorn_divergence`.
    """

    epsilon: float | None = None
    points: int = 2000

    name: ClassVar[str] = "Sinkhorn divergence"
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "feydy2019interpolating", "Interpolating between Optimal Transport and MMD using Sinkhorn Divergences",
            "Feydy, Jean and Séjourné, Thibault and Vialard, François-Xavier and Amari, Shun-ichi and "
            "Trouvé, Alain and Peyré, Gabriel", 2019, arxiv="1810.08278",
        ),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the regularisation and the number of points."""
        if self.epsilon is not None and not self.epsilon > 0:
            raise InputError(f"epsilon must be positive, in units of the squared distance, got {self.epsilon}")
        if self.points < 1:
            raise InputError(f"points must be at least 1, got {self.points}")

    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> float:
        """Return the divergence of the rows kept; never negative."""
        x, y = flat_pair(x, y)
        epsilon = _twentieth(y) if self.epsilon is None else self.epsilon
        x, y = subsample(x, self.points, generator), subsample(y, self.points, generator)
        return float(sinkhorn_divergence(x.detach(), y.detach(), epsilon=epsilon).clamp_min(0))


def _twentieth(y: Tensor) -> float:
    """Return a twentieth of the mean squared distance between two rows, which is twice the total variance."""
    spread = 2 * float((y.detach() - y.detach().mean(0)).square().sum(1).mean())
    if not spread > 0:
        raise InputError("all rows of the reference y are equal, which sets no scale: give epsilon")
    return spread / 20
