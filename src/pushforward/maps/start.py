"""Starting a flow later than at its source: from the moments of the target, or from points that are already nearly
there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Path
from pushforward.errors import InputError
from pushforward.maps.frame import Frame
from pushforward.papers import CONDITION_LEAKAGE
from pushforward.paths import Affine
from pushforward.tensors import as_samples

__all__ = ["Start"]


@dataclass(frozen=True)
class Start:
    """The state `alpha centre + sqrt(sigma^2 + alpha^2 variance) x0` at a `time` inside an affine path, for noise x0 of
    the source.

    Analytic-Init: with the target's mean and its mean variance, `tr Cov / d`, this is the isotropic Gaussian nearest to
    the path's marginal there in KL divergence, so that the times before, where a network is least reliable, can be left
    out. Both default to those in the transport's target frame. A warm start, or the editing of an image: `centre` is
    the points to start from, one for each row, and `variance` is zero.

    `centre: (*event)` or `(n, *event)` and `variance` are in the target's units.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONDITION_LEAKAGE,)
    time: float
    centre: Tensor | None = None
    variance: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.time < 1 or (self.variance is not None and self.variance < 0):
            raise InputError(f"Start needs a time inside (0, 1) and a variance of at least 0, got {self}")
        if (self.centre is None) != (self.variance is None):
            raise InputError("Start needs both centre and variance, or neither: then they are those of the target")

    @classmethod
    def analytic(cls, time: float, points: Tensor) -> Start:
        """Return the start from the moments of target `points: (n, *event)`."""
        points = as_samples("points", points)
        return cls(time, points.mean(0), float(points.flatten(1).var(0, correction=0).mean()))

    @classmethod
    def warm(cls, time: float, points: Tensor) -> Start:
        """Return the start from `points: (n, *event)` near the target, noised to `time`."""
        return cls(time, as_samples("points", points), 0.0)

    def state(self, path: Path, x0: Tensor, frame: Frame) -> Tensor:
        """Return the state in the units of the network for source points `x0: (n, *event)` in those units; `frame` is
        the target's. Raises `InputError` for a path that is not affine, and where moments are asked of a frame that
        has none.
        """
        if not isinstance(path, Affine):
            raise InputError(f"a later start needs an affine path, got {type(path).__name__}")
        centre, variance = self._moments(x0, frame)
        c = path.schedule(torch.tensor(self.time, dtype=torch.float64))
        alpha, sigma = float(c.alpha), float(c.sigma)
        return alpha * centre + (sigma**2 + alpha**2 * variance) ** 0.5 * x0

    def _moments(self, x0: Tensor, frame: Frame) -> tuple[Tensor, float]:
        if self.centre is not None and self.variance is not None:
            return frame.normalise(self.centre.to(x0)), self.variance / float(frame.scale) ** 2
        if float(frame.scale) == 1 and not frame.shift.any():
            raise InputError(
                "this transport does not hold the moments of its target (normalise='none'): give Start.analytic(time, "
                "points) some of its points"
            )
        return torch.zeros_like(x0[:1]), 1.0  # what the frame brings the target to
