"""The Gaussian measure."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.configuration import Recorded
from pushforward.measures._linear import LOG_2PI, Numbers, check_points, cholesky, floating, invert_lower
from pushforward.measures.measure import Measure

__all__ = ["Gaussian"]


class Gaussian(Recorded, Measure):
    """The normal distribution N(mean, covariance).

    `mean: (*event)`; `covariance: (d, d)`, symmetric positive definite, for a mean of shape `(d,)`. Without one it is
    the identity, and the event may have any shape, an image for example. Lists of numbers serve as tensors. Samples
    have the dtype and device of the mean; `log_prob` and `score` take points of any dtype and device.

    >>> Gaussian([0.0, 0.0], [[2.0, 0.5], [0.5, 1.0]]).log_prob(torch.zeros(1, 2)).shape
    torch.Size([1])
    """

    def __init__(self, mean: Numbers, covariance: Numbers | None = None) -> None:
        """Check and factor. Raises `InputError` for a covariance that does not fit the mean or is not positive
        definite.
        """
        self.mean = floating("mean", mean)
        self.mean = self.mean[None] if self.mean.ndim == 0 else self.mean
        self._covariance: Tensor | None = None
        self._factor: Tensor | None = None
        self._log_det = 0.0
        if covariance is not None:
            self._covariance = floating("covariance", covariance).to(self.mean)
            d = self.mean.numel()
            self._factor = cholesky("covariance", self._covariance, (*self.mean.shape, d))
            self._whitening = invert_lower(self._factor)
            self._log_det = float(self._factor.diagonal().log().sum())
        self._standard = not self.mean.any() and (
            self._factor is None or torch.equal(self.covariance, self._identity())
        )

    @classmethod
    def standard(cls, *event_shape: int) -> Gaussian:
        """Return N(0, I) on points of this shape.

        >>> Gaussian.standard(1, 8, 8).is_standard_normal
        True
        """
        return cls(torch.zeros(event_shape))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return tuple(self.mean.shape)

    @property
    def covariance(self) -> Tensor:
        """The covariance of the flattened point, `(d, d)`."""
        return self._identity() if self._covariance is None else self._covariance

    @property
    def is_standard_normal(self) -> bool:
        """Whether the mean is zero and the covariance the identity."""
        return self._standard

    def _identity(self) -> Tensor:
        return torch.eye(self.mean.numel(), dtype=self.mean.dtype, device=self.mean.device)

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, *event)`."""
        z = torch.randn(n, *self.event_shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return self.mean + (z if self._factor is None else z @ self._factor.mT.to(z))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at `x: (n, *event)`: `(n,)`."""
        check_points(x, self.event_shape)
        y = self._whiten(x).flatten(1)
        return -0.5 * ((y * y).sum(1) + y.shape[1] * LOG_2PI) - self._log_det

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log-density, `-covariance^-1 (x - mean)`: `(n, *event)`."""
        check_points(x, self.event_shape)
        y = self._whiten(x)
        return -(y if self._factor is None else y @ self._whitening.to(x))

    def _whiten(self, x: Tensor) -> Tensor:
        y = x - self.mean.to(x)
        return y if self._factor is None else y @ self._whitening.mT.to(x)
