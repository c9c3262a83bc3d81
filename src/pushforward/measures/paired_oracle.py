"""The exact field of an affine path whose ends belong together: Gaussian each, given a class that both share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coefficients, ScheduleFn
from pushforward.errors import InputError
from pushforward.measures._linear import check_points

__all__ = ["PairedOracle"]


@dataclass(frozen=True, eq=False)
class PairedOracle:
    """Closed forms of `x_t = alpha_t x1 + sigma_t x0` where a class k of `probability_k` is drawn first, and given that
    `x0 ~ N(m0_k, diag(v0_k))` and `x1 ~ N(m1_k, diag(v1_k))` independently.

    Given k the state is N(m_t, V_t) with `m_t = alpha m1 + sigma m0` and `V_t = alpha^2 v1 + sigma^2 v0`, entry by
    entry; ends are linear in it, and the classes are mixed by their posterior at the state. A variance may be zero at
    one of the ends: a known source, or a label, which the joint flow of points and labels starts from.

    `probability: (K,)`, the others `(K, d)`; `x: (B, d)`, `t: (B,)`. It serves wherever a `VelocityField` is asked for;
    `condition` is ignored. Raises `InputError` for tables of unlike shape.

    >>> from pushforward.paths import CondOT
    >>> mean = torch.tensor([[-4.0], [4.0]])
    >>> oracle = PairedOracle(torch.ones(2) / 2, -mean, torch.ones(2, 1), mean, torch.ones(2, 1), CondOT())
    >>> oracle.posterior(torch.tensor([[4.0]]), torch.tensor([1.0])).round(decimals=3)
    tensor([[0., 1.]])
    """

    probability: Tensor
    source_mean: Tensor
    source_variance: Tensor
    target_mean: Tensor
    target_variance: Tensor
    schedule: ScheduleFn

    def __post_init__(self) -> None:
        tables = (self.source_mean, self.source_variance, self.target_mean, self.target_variance)
        if self.probability.ndim != 1 or any(
            table.ndim != 2 or table.shape != self.source_mean.shape or len(table) != len(self.probability)
            for table in tables
        ):
            shapes = ", ".join(str(tuple(table.shape)) for table in (self.probability, *tables))
            raise InputError(f"PairedOracle wants probabilities (K,) and four tables (K, d), got {shapes}")

    def posterior(self, x: Tensor, t: Tensor) -> Tensor:
        """Probability of each class given the state: `(B, K)`."""
        return self._log_joint(x, t).softmax(1).to(x)

    def log_prob(self, x: Tensor, t: Tensor) -> Tensor:
        """Log-density of the state at time t: `(B,)`."""
        return self._log_joint(x, t).logsumexp(1).to(x)

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[alpha' x1 + sigma' x0 | x_t = x]`: `(B, d)`."""
        c = self._coefficients(t)
        return self._expected(x, t, c.d_sigma, c.d_alpha)

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[x1 | x_t = x]`: `(B, d)`."""
        zero = torch.zeros_like(t, dtype=torch.float64)
        return self._expected(x, t, zero, zero + 1)

    def noise(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `E[x0 | x_t = x]`: `(B, d)`."""
        zero = torch.zeros_like(t, dtype=torch.float64)
        return self._expected(x, t, zero + 1, zero)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the gradient of `log_prob` in x: `(B, d)`."""
        mean, variance = self._moments(t)
        gaps = (mean - x.double()[:, None]) / variance
        return (self._log_joint(x, t).softmax(1)[:, :, None] * gaps).sum(1).to(x)

    def _tables(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        tables = (self.source_mean, self.source_variance, self.target_mean, self.target_variance)
        m0, v0, m1, v1 = (table.double() for table in tables)
        return m0, v0, m1, v1

    def _coefficients(self, t: Tensor) -> Coefficients:
        return self.schedule(t.double())

    def _moments(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and variances of the state by class, each `(B, K, d)`."""
        m0, v0, m1, v1 = self._tables()
        c = self._coefficients(t)
        alpha, sigma = c.alpha[:, None, None], c.sigma[:, None, None]
        return alpha * m1 + sigma * m0, alpha.square() * v1 + sigma.square() * v0

    def _log_joint(self, x: Tensor, t: Tensor) -> Tensor:
        check_points(x, (self.source_mean.shape[1],))
        mean, variance = self._moments(t)
        squares = (x.double()[:, None] - mean).square() / variance + (2 * math.pi * variance).log()
        return self.probability.double().log() - squares.sum(2) / 2

    def _expected(self, x: Tensor, t: Tensor, p: Tensor, q: Tensor) -> Tensor:
        """Return `E[p x0 + q x1 | x_t = x]` for `p, q: (B,)`."""
        m0, v0, m1, v1 = self._tables()
        c = self._coefficients(t)
        p, q, alpha, sigma = (factor[:, None, None] for factor in (p, q, c.alpha, c.sigma))
        mean, variance = self._moments(t)
        gain = (p * sigma * v0 + q * alpha * v1) / variance
        given_class = p * m0 + q * m1 + gain * (x.double()[:, None] - mean)
        return (self._log_joint(x, t).softmax(1)[:, :, None] * given_class).sum(1).to(x)
