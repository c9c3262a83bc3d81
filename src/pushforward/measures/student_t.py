"""The multivariate Student t: a source or target with heavy tails."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.measures._linear import Numbers, check_points
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.measure import Measure
from pushforward.tensors import bcast

__all__ = ["StudentT"]


class StudentT(Recorded, Measure):
    """The law of `mean + sqrt(degrees / g) z` with `z ~ N(0, scale)` and `g ~ chi^2(degrees)`.

    `mean: (*event)`; `scale: (d, d)`, symmetric positive definite, identity when `None` (then the event may have any
    shape); `degrees > 0`. Moments of order `degrees` and above do not exist.

    >>> StudentT([0.0], degrees=1.0).log_prob(torch.zeros(1, 1)).exp()  # the Cauchy density 1 / pi
    tensor([0.3183])
    """

    def __init__(self, mean: Numbers, scale: Numbers | None = None, degrees: float = 3.0) -> None:
        """Check and factor. Raises `InputError` for a bad scale or non-positive degrees of freedom."""
        if not 0 < degrees < math.inf:
            raise InputError(f"degrees must be positive and finite, got {degrees}: for infinitely many use Gaussian")
        self.mean = Gaussian(mean).mean
        self.degrees = float(degrees)
        self._normal = Gaussian(torch.zeros_like(self.mean), scale)
        self._at_mean = float(self._normal.log_prob(self.mean.new_zeros(1, *self.mean.shape, dtype=torch.float64)))

    @property
    def covariance(self) -> Tensor:
        """`scale degrees / (degrees - 2)`: `(d, d)`. Raises `InputError` for `degrees <= 2`, where it is infinite."""
        if self.degrees <= 2:
            raise InputError(
                f"a Student t has a covariance for more than 2 degrees of freedom, this one has {self.degrees}"
            )
        return self._normal.covariance * (self.degrees / (self.degrees - 2))

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return self._normal.event_shape

    @property
    def is_noise(self) -> bool:
        """Whether the mean is zero and the scale the identity."""
        return self._normal.is_standard_normal and not self.mean.any()

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, *event)`."""
        from scipy import special  # a quarter of a second, which only this needs

        centred = self._normal.sample(n, generator=generator)
        u = 1 - torch.rand(
            n, generator=generator, dtype=torch.float64, device=centred.device
        )  # in (0, 1]: no division by zero
        half_chi2 = torch.as_tensor(special.gammaincinv(self.degrees / 2, u.cpu().numpy()))
        stretch = (self.degrees / (2 * half_chi2)).sqrt().to(centred)
        return self.mean + bcast(stretch, centred) * centred

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at `x: (n, *event)`: `(n,)`."""
        nu, d = self.degrees, self.mean.numel()
        constant = self._at_mean + 0.5 * d * math.log(2 / nu) + math.lgamma((nu + d) / 2) - math.lgamma(nu / 2)
        return constant - 0.5 * (nu + d) * torch.log1p(self._distance(x) / nu)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log-density, `-(nu + d) / (nu + q) scale^-1 (x - mean)`: `(n, *event)`."""
        nu, d = self.degrees, self.mean.numel()
        factor = (nu + d) / (nu + self._distance(x))
        return bcast(factor, x) * self._normal.score(x - self.mean.to(x))

    def _distance(self, x: Tensor) -> Tensor:
        """Return `q = (x - mean)^T scale^-1 (x - mean)`: `(n,)`."""
        check_points(x, self.event_shape)
        centred = x - self.mean.to(x)
        return -(centred * self._normal.score(centred)).flatten(1).sum(1)
