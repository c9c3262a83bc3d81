"""Many isotropic Gaussian mixtures at once, one for each row of a batch."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.measures._linear import LOG_2PI
from pushforward.tensors import bcast, softmax

__all__ = ["MixtureBatch"]


@dataclass(frozen=True)
class MixtureBatch:
    """One mixture `sum_k w_k N(mean_k, variance I)` for each row, whose components share a variance.

    `log_weight: (B, K, *rest)`, which need not be normalised; `means: (B, K, C, *rest)`; `variance: (B,)`. The C
    channels of a position are drawn together; positions (the pixels of an image, `rest`) are independent of each other.
    """

    log_weight: Tensor
    means: Tensor
    variance: Tensor

    @property
    def weight(self) -> Tensor:
        """Probability of each component: `(B, K, *rest)`."""
        return softmax(self.log_weight, 1)

    def mean(self) -> Tensor:
        """Mean of each mixture: `(B, C, *rest)`."""
        return (self.weight.unsqueeze(2) * self.means).sum(1)

    def spread(self) -> Tensor:
        """Mean variance of an entry, within and between the components: `(B,)`."""
        between = (self.weight.unsqueeze(2) * (self.means - self.mean().unsqueeze(1)).square()).sum(1)
        return self.variance + between.flatten(1).mean(1)

    def sample(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one point of each mixture: `(B, C, *rest)`."""
        edges = self.weight.cumsum(1)
        u = torch.rand(edges[:, :1].shape, generator=generator, dtype=edges.dtype, device=edges.device)
        chosen = (edges[:, :-1] < u).sum(1, keepdim=True).unsqueeze(2)
        mean = self.means.take_along_dim(chosen, 1).squeeze(1)
        z = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return torch.addcmul(mean, bcast(self.variance.sqrt(), mean), z)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of each mixture at its own point `x: (B, C, *rest)`: `(B,)`."""
        squared = (x.unsqueeze(1) - self.means).square().sum(2)
        variance = bcast(self.variance, squared)
        log_joint = self.log_weight.log_softmax(1) - 0.5 * squared / variance
        constant = 0.5 * x[0].numel() * (self.variance.log() + LOG_2PI)
        return log_joint.logsumexp(1).reshape(len(x), -1).sum(1) - constant

    def affine(self, scale: Tensor, shift: Tensor) -> MixtureBatch:
        """Return the law of `scale v + shift` for `scale: (B,)`, `shift: (B, C, *rest)`."""
        means = bcast(scale, self.means) * self.means + shift.unsqueeze(1)
        return MixtureBatch(self.log_weight, means, scale.square() * self.variance)

    def blurred(self, variance: Tensor) -> MixtureBatch:
        """Return the law of `v + sqrt(variance) z` with standard normal noise z, `variance: (B,)`."""
        return replace(self, variance=self.variance + variance)

    def tilted(self, precision: Tensor, natural: Tensor) -> MixtureBatch:
        """Return the law with density multiplied by `exp(natural . v - precision |v|^2 / 2)`: the product with a
        Gaussian of that precision and natural mean, or the quotient by one for negative numbers.

        `precision: (B,)` above `-1 / variance`; `natural: (B, C, *rest)`.
        """
        shrink = 1 / (1 + precision * self.variance)
        m, n = self.means, natural.unsqueeze(1)
        exponent = (m * (n - 0.5 * bcast(precision, m) * m)).sum(2)
        log_weight = self.log_weight + bcast(shrink, exponent) * exponent
        means = bcast(shrink, m) * (m + bcast(self.variance, n) * n)
        return MixtureBatch(log_weight, means, shrink * self.variance)
