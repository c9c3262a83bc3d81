"""The exact field of a stochastic interpolant between Gaussians, under any Gaussian coupling of its ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.measures._linear import check_points
from pushforward.measures.gaussian import Gaussian

__all__ = ["InterpolantOracle"]

Coefficient: TypeAlias = Callable[[Tensor], tuple[Coefficients, tuple[Tensor, Tensor, Tensor]]]
"""Weights of the ends (`alpha` of x1, `sigma` of x0), and `gamma, gamma', gamma gamma'`: `Interpolant.coefficients`."""


class InterpolantOracle:
    """Closed forms of `x_t = a x0 + b x1 + gamma z` for jointly Gaussian ends and independent `z ~ N(0, I)`.

    With `m_t = a m0 + b m1` and `C_t = a^2 C0 + b^2 C1 + a b (K + K^T) + gamma^2 I`, where `cross = K = Cov(x0, x1)` is
    zero for independent ends: `E[y | x] = m_y + Cov(y, x_t) C_t^-1 (x - m_t)` for y the velocity, the drift `dI/dt`,
    the noise z or an end; the score is `-C_t^-1 (x - m_t)`. It serves wherever a `VelocityField` is asked for.

    `x: (B, d)` of any dtype, `t: (B,)`. Raises `InputError` for points of different size.

    >>> from pushforward.paths import Interpolant
    >>> oracle = InterpolantOracle(Gaussian([0.0]), Gaussian([2.0]), Interpolant().coefficients)
    >>> oracle.velocity(torch.tensor([[1.0]]), torch.tensor([0.5]))
    tensor([[2.]])
    """

    def __init__(
        self, source: Gaussian, target: Gaussian, coefficients: Coefficient, cross: Tensor | None = None
    ) -> None:
        if source.event_shape != target.event_shape or len(source.event_shape) != 1:
            raise InputError(
                f"an InterpolantOracle joins two Gaussians of vectors of one size, got {source.event_shape} and "
                f"{target.event_shape}"
            )
        self.source, self.target, self.coefficients = source, target, coefficients
        self.cross = torch.zeros_like(source.covariance) if cross is None else cross
        spread = self.cross, self.cross.mT, source.covariance, target.covariance
        self._K, self._KT, self._C0, self._C1 = (matrix.double() for matrix in spread)

    def moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean `(B, d)` and covariance `(B, d, d)` of the state at `t: (B,)`, in double precision."""
        t = t.double()
        c, (gamma, *_) = self.coefficients(t)
        mean = c.sigma[:, None] * self.source.mean.double() + c.alpha[:, None] * self.target.mean.double()
        return mean, self._covariance((c.sigma, c.alpha), (c.sigma, c.alpha), gamma.square())

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[dx/dt | x_t = x]`: `(B, d)`."""
        t = _distinct(t)
        c, (_, _, product) = self.coefficients(t)
        return self._expected(x, t, (c.d_sigma, c.d_alpha), product)

    def drift(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[dI/dt | x_t = x]`, the velocity without the noise: `(B, d)`."""
        t = _distinct(t)
        c, _ = self.coefficients(t)
        return self._expected(x, t, (c.d_sigma, c.d_alpha), torch.zeros_like(c.alpha))

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[x1 | x_t = x]`: `(B, d)`."""
        t = _distinct(t)
        zero = torch.zeros_like(t)
        return self._expected(x, t, (zero, zero + 1), zero)

    def noise(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[x0 | x_t = x]`: `(B, d)`."""
        t = _distinct(t)
        zero = torch.zeros_like(t)
        return self._expected(x, t, (zero + 1, zero), zero)

    def denoiser(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[z | x_t = x] = -gamma score`: `(B, d)`."""
        gamma = self.coefficients(t)[1][0]
        return -gamma[:, None] * self.score(x, t)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the gradient of the log-density, `-C_t^-1 (x - m_t)`: `(B, d)`."""
        return -self._whitened(x, _distinct(t)).to(x)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-density of the state at `t`: `(B,)`."""
        mean, covariance = self.moments(_distinct(t))
        law = torch.distributions.MultivariateNormal(mean, covariance, validate_args=False)
        return law.log_prob(x.double()).to(x)

    def sample(self, n: int, t: float, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent states at time `t`: `(n, d)`, in the dtype of the source."""
        mean, covariance = self.moments(torch.tensor([t]))
        z = torch.randn(n, mean.shape[1], generator=generator, dtype=torch.float64)
        return (mean + z @ torch.linalg.cholesky(covariance)[0].mT).to(self.source.mean)

    def _expected(self, x: Tensor, t: Tensor, weights: tuple[Tensor, Tensor], noise: Tensor) -> Tensor:
        """Return `E[p x0 + q x1 + (noise / gamma) z | x]` for `weights = (p, q)`."""
        c, _ = self.coefficients(t)
        mean = weights[0][:, None] * self.source.mean.double() + weights[1][:, None] * self.target.mean.double()
        gain = self._covariance(weights, (c.sigma, c.alpha), noise)
        return (mean + _apply(gain, self._whitened(x, t))).to(x)

    def _covariance(self, left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], noise: Tensor) -> Tensor:
        """Covariance of `left . (x0, x1)` with `right . (x0, x1)`, plus `noise` times the identity: `(B, d, d)`."""
        (p, q), (a, b) = left, right
        blocks = ((p * a, self._C0), (q * b, self._C1), (p * b, self._K), (q * a, self._KT), (noise, None))
        identity = torch.eye(len(self._C0), dtype=torch.float64)
        return sum((w[:, None, None] * (identity if C is None else C) for w, C in blocks), torch.zeros(()))

    def _whitened(self, x: Tensor, t: Tensor) -> Tensor:
        check_points(x, self.source.event_shape)
        mean, covariance = self.moments(t)
        return _apply(torch.linalg.inv(covariance), x.double() - mean)


def _distinct(t: Tensor) -> Tensor:
    """Return the times `(B,)` in double precision, or `(1,)` where all are the same, as in a solver's calls."""
    t = t.double()
    return t[:1] if not t.requires_grad and bool((t == t[0]).all()) else t


def _apply(matrix: Tensor, x: Tensor) -> Tensor:
    """Multiply each row of `x: (B, d)` by its matrix, of `(B, d, d)` or `(1, d, d)`."""
    return x @ matrix[0].mT if len(matrix) == 1 else (matrix @ x[:, :, None])[:, :, 0]
