"""Pairs of Gaussian components, diagonalised together: one factorisation that serves every time of an affine path.

For a source component N(m0, C0) and a target component N(m1, C1) there is one matrix W with `W C0 W^T = I` and `W C1
W^T = diag(ratio)`. The state `alpha x1 + sigma x0` of the pair then has covariance `V diag(alpha^2 ratio + sigma^2)
V^T` with `V = W^-1`: no factorisation per time or row, and nothing is divided by alpha or sigma.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.measures._linear import LOG_2PI
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.mixture import GaussianMixture

__all__ = ["ComponentPairs", "Located", "pair_components"]


class Located(NamedTuple):
    """Points seen from each pair of components: coordinates `y = W (x - m_t)` and their variances, `(B, K, d)`, and the
    log joint density `(B, K)`.
    """

    y: Tensor
    spread: Tensor
    log_joint: Tensor


class ComponentPairs(NamedTuple):
    """All K pairs of a source and a target component, each field with the pairs first.

    Means `(K, d)`, as they are and times W; `W` and `V = W^-1` `(K, d, d)`; ratios `(K, d)`; log-weights `(K,)`, and
    these with the constant part of the log-density added.
    """

    source_mean: Tensor
    target_mean: Tensor
    source_white: Tensor
    target_white: Tensor
    whiten: Tensor
    unwhiten: Tensor
    ratio: Tensor
    log_weight: Tensor
    log_constant: Tensor

    def to(self, x: Tensor) -> ComponentPairs:
        """Return the tables in the dtype and on the device of `x`."""
        return ComponentPairs(*(table.to(x) for table in self))

    def locate(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Located:
        """Place the points `x: (B, d)` relative to every pair of components at `alpha, sigma: (B,)`."""
        k, d = self.ratio.shape
        alpha, sigma = alpha[:, None, None], sigma[:, None, None]
        y = (x @ self.whiten.flatten(0, 1).mT).unflatten(1, (k, d))
        y = y - alpha * self.target_white - sigma * self.source_white
        spread = alpha**2 * self.ratio + sigma**2
        return Located(y, spread, self.log_constant - 0.5 * (y * y / spread + spread.log()).sum(2))

    def means(self, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return the mean of each pair's state at `alpha, sigma: (B,)`: `(B, K, d)`."""
        return alpha[:, None, None] * self.target_mean + sigma[:, None, None] * self.source_mean


def pair_components(source: Gaussian | GaussianMixture, target: Gaussian | GaussianMixture) -> ComponentPairs:
    """Diagonalise every pair of a component of `source` and one of `target` together, in float64."""
    (m0, c0, w0), (m1, c1, w1) = _components("source", source), _components("target", target)
    if m0.shape[1] != m1.shape[1]:
        raise InputError(f"source has points of {m0.shape[1]} numbers but target of {m1.shape[1]}: both must agree")
    k0, k1 = len(w0), len(w1)
    m0, c0 = m0.repeat_interleave(k1, 0), c0.repeat_interleave(k1, 0)
    m1, c1 = m1.repeat(k0, 1), c1.repeat(k0, 1, 1)
    lower = torch.linalg.cholesky(c0)
    half = torch.linalg.solve_triangular(lower, c1, upper=False)
    ratio, rotation = torch.linalg.eigh(torch.linalg.solve_triangular(lower, half.mT, upper=False))
    whiten = torch.linalg.solve_triangular(lower.mT, rotation, upper=True).mT
    log_weight = (w0[:, None] * w1[None, :]).flatten().log()
    white0, white1 = (torch.einsum("ked,kd->ke", whiten, mean) for mean in (m0, m1))
    log_constant = log_weight + torch.linalg.slogdet(whiten)[1] - 0.5 * m0.shape[1] * LOG_2PI
    return ComponentPairs(m0, m1, white0, white1, whiten, lower @ rotation, ratio, log_weight, log_constant)


def _components(name: str, measure: Gaussian | GaussianMixture) -> tuple[Tensor, Tensor, Tensor]:
    """Return means, covariances and weights in float64."""
    if isinstance(measure, GaussianMixture):
        return measure.means.double(), measure.covariances.double(), measure.weights.double()
    if not isinstance(measure, Gaussian):
        raise InputError(
            f"{name} must be a Gaussian or a GaussianMixture, got a {type(measure).__name__}: no closed form is known"
        )
    if len(measure.event_shape) != 1:
        raise InputError(f"{name} has points of shape {measure.event_shape}, wanted vectors (d,): flatten it first")
    return measure.mean[None].double(), measure.covariance[None].double(), measure.mean.new_ones(1, dtype=torch.float64)
