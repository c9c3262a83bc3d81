"""The Gaussian mixture."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.configuration import Recorded
from pushforward.measures._linear import (
    LOG_2PI,
    Numbers,
    check_points,
    check_weights,
    cholesky,
    draw_rows,
    floating,
    invert_lower,
)
from pushforward.measures.measure import Measure

__all__ = ["GaussianMixture"]


class GaussianMixture(Recorded, Measure):
    """The mixture `sum_k weights_k N(means_k, covariances_k)`.

    `means: (K, d)`; `covariances: (K, d, d)`, symmetric positive definite; `weights: (K,)`, positive, normalised here,
    equal when `None`. Lists of numbers serve as tensors. Samples have the dtype and device of the means.

    >>> two = GaussianMixture([[-1.0], [1.0]], [[[0.1]], [[0.1]]])
    >>> two.mean, two.covariance
    (tensor([0.]), tensor([[1.1000]]))
    """

    def __init__(self, means: Numbers, covariances: Numbers, weights: Numbers | None = None) -> None:
        """Check and factor. Raises `InputError` for shapes that do not agree, a bad covariance or a weight that is not
        positive.
        """
        self.means = floating("means", means, 2)
        k, d = self.means.shape
        self.covariances = floating("covariances", covariances, 3).to(self.means)
        self.weights = check_weights(weights, k, self.means)
        self._factors = cholesky("covariances", self.covariances, (k, d, d))
        self._whitening = invert_lower(self._factors)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(d,)`."""
        return (self.means.shape[1],)

    @property
    def mean(self) -> Tensor:
        """Mean of the whole mixture: `(d,)`."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """Covariance of the whole mixture, within and between the components: `(d, d)`."""
        offset = self.means - self.mean
        return torch.einsum("k,kde->de", self.weights, self.covariances + offset[:, :, None] * offset[:, None, :])

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, d)`."""
        rows = draw_rows(self.weights, n, generator)
        z = torch.randn(n, *self.event_shape, generator=generator, dtype=self.means.dtype, device=self.means.device)
        return self.means[rows] + torch.einsum("nde,ne->nd", self._factors.to(z)[rows], z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at `x: (n, d)`: `(n,)`."""
        return self._log_joint(self._whiten(x)).logsumexp(1)

    def responsibilities(self, x: Tensor) -> Tensor:
        """Posterior probability of each component given `x: (n, d)`: `(n, K)`, rows summing to one."""
        return self._log_joint(self._whiten(x)).softmax(1)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log-density: `(n, d)`."""
        y = self._whiten(x)
        return -torch.einsum("nk,nke,ked->nd", self._log_joint(y).softmax(1), y, self._whitening.to(x))

    def _whiten(self, x: Tensor) -> Tensor:
        """Return `L_k^-1 (x - m_k)` for every component: `(n, K, d)`."""
        check_points(x, self.event_shape)
        return torch.einsum("nkd,ked->nke", x[:, None] - self.means.to(x), self._whitening.to(x))

    def _log_joint(self, y: Tensor) -> Tensor:
        """Log of weight times component density: `(n, K)`."""
        log_det = self._factors.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = self.weights.double().log() - log_det - 0.5 * y.shape[2] * LOG_2PI
        return constant.to(y) - 0.5 * (y * y).sum(2)
