"""The exact law of the velocity given the state, of an affine path between Gaussians or Gaussian mixtures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.configuration import Recorded
from pushforward.contracts import ScheduleFn
from pushforward.errors import InputError
from pushforward.measures._component_pairs import ComponentPairs, pair_components
from pushforward.measures._linear import LOG_2PI, check_points
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.mixture import GaussianMixture
from pushforward.measures.mixture_batch import MixtureBatch
from pushforward.measures.oracle import AffineOracle

__all__ = ["VelocityOracle"]


class _Law(NamedTuple):
    """A mixture over the K pairs of components: log-weights `(B, K)`; means and deviations of `W v`, `(B, K, d)`, for
    the matrix W that whitens the pair.
    """

    pairs: ComponentPairs
    log_weight: Tensor
    mean: Tensor
    deviation: Tensor


class VelocityOracle(Recorded):
    """The law of `v = alpha' x1 + sigma' x0` given `alpha x1 + sigma x0 = x`, for independent `x0 ~ source` and `x1 ~
    target`: a Gaussian mixture, with one component for each pair of theirs.

    Given a pair of covariances C0 and C1, diagonalised together as `W C0 W^T = I`, `W C1 W^T = diag(r)`, the ends are
    `W x1 = E[W x1 | x] + sigma sqrt(r / S) z` and `W x0 = E[W x0 | x] - alpha sqrt(r / S) z` with one standard normal z
    and `S = alpha^2 r + sigma^2`: the state fixes the rest. So `W v` has deviation `Delta sqrt(r / S)`, `Delta = alpha'
    sigma - alpha sigma'`.

    It serves wherever a `VelocityLaw` or a `VelocityField` is asked for (`condition` is ignored). `x: (B, d)`, `t:
    (B,)`.

    >>> from pushforward.paths import CondOT
    >>> law = VelocityOracle(Gaussian.standard(1), Gaussian([3.0], [[0.25]]), CondOT())
    >>> law.mean(torch.zeros(1, 1), torch.zeros(1))
    tensor([[3.]])
    """

    def __init__(
        self, source: Gaussian | GaussianMixture, target: Gaussian | GaussianMixture, schedule: ScheduleFn
    ) -> None:
        """Factor every pair of components once. Raises `InputError` as `AffineOracle` does."""
        self.source, self.target, self.schedule = source, target, schedule
        self._pairs, self._field = pair_components(source, target), AffineOracle(source, target, schedule)

    def sample(
        self, x: Tensor, t: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one velocity for each row: `(B, d)`."""
        law = self._at(x, t)
        edges = law.log_weight.softmax(1).cumsum(1)
        u = torch.rand(len(x), 1, generator=generator, dtype=x.dtype, device=x.device)
        chosen = (edges[:, :-1] < u).sum(1)
        rows = torch.arange(len(x), device=x.device)
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        white = law.mean[rows, chosen] + law.deviation[rows, chosen] * z
        return torch.einsum("bde,be->bd", law.pairs.unwhiten[chosen], white)

    def mean(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected velocity, that of `AffineOracle`: `(B, d)`."""
        return self._field.velocity(x, t)

    def log_prob(self, v: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Log-density of the velocity `v: (B, d)` given the state: `(B,)`."""
        law = self._at(x, t)
        y = (torch.einsum("ked,bd->bke", law.pairs.whiten, v) - law.mean) / law.deviation
        log_density = -0.5 * (y.square() + LOG_2PI).sum(2) - law.deviation.log().sum(2)
        volume = torch.linalg.slogdet(law.pairs.whiten)[1]
        return (law.log_weight.log_softmax(1) + log_density + volume).logsumexp(1)

    def mixture(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> MixtureBatch:
        """Return the law as isotropic mixtures. Raises `InputError` unless every component of source and target is
        isotropic, those of one side with one variance.
        """
        law = self._at(x, t)
        scale = law.pairs.unwhiten[:, 0].norm(dim=1)[0]  # W is a rotation over the source's deviation
        variance = law.deviation[:, 0, 0].square() * scale.square()
        deviation = law.deviation * law.pairs.unwhiten.norm(dim=1)
        if not torch.allclose(deviation.square(), variance[:, None, None].expand_as(deviation), rtol=1e-3):
            raise InputError("the law is no mixture of isotropic components: use some of one variance")
        means = torch.einsum("kde,bke->bkd", law.pairs.unwhiten, law.mean)
        return MixtureBatch(law.log_weight, means, variance)

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `mean`: as a field, a law moves points by its mean."""
        return self.mean(x, t)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Gradient of the log-density of the state at time t: `(B, d)`."""
        return self._field.score(x, t)

    def _at(self, x: Tensor, t: Tensor) -> _Law:
        check_points(x, (self._pairs.ratio.shape[1],))
        pairs, c = self._pairs.to(x), self.schedule(t.expand(x.shape[0]))
        located = pairs.locate(x, c.alpha, c.sigma)
        alpha, sigma, d_alpha, d_sigma = (value[:, None, None] for value in c)
        gain = (alpha * d_alpha * pairs.ratio + sigma * d_sigma) / located.spread
        mean = d_alpha * pairs.target_white + d_sigma * pairs.source_white + gain * located.y
        deviation = c.delta[:, None, None] * (pairs.ratio / located.spread).sqrt()
        return _Law(pairs, located.log_joint, mean, deviation)
