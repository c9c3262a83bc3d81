"""Linearized optimal transport: every cloud becomes one vector, by its map from a common reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.ot.barycenter import shares
from pushforward.ot.regularization import Relative
from pushforward.ot.solve import solve
from pushforward.tensors import check_same_event

__all__ = ["LinearizedOT", "pooled_reference"]


@dataclass(frozen=True, eq=False)
class LinearizedOT:
    """Embed clouds by their transport from a reference, `z_i` with weights `a_i`, so that lines are geodesics.

        E(mu)_i = sqrt(a_i) (T_mu(z_i) - z_i),    T_mu(z_i) = sum_j P_ij y_j / a_i

    Squared distances of embeddings, `sum_i a_i |T_mu(z_i) - T_nu(z_i)|^2`, are those of a coupling through the
    reference: never below W2^2 (for exact maps), and equal to it between shifted and scaled copies of one cloud. Means
    and straight lines of embeddings, linear classifiers and principal components can be read back as clouds.

    Embeddings are `(..., m d)` for a reference of m points in d dimensions. With `epsilon` the plans are entropic:
    faster for large clouds, but embeddings shrink, and the bound is lost. Source: Wang et al. (2013), *A linear optimal
    transportation framework for quantifying and visualizing variations in sets of images*; for clouds of cells, Wang et
    al. (2025), arXiv 2510.22033.

    >>> lot = LinearizedOT(torch.tensor([[0.0], [1.0]]))
    >>> shifted = lot.embed([torch.tensor([[0.0], [1.0]]), torch.tensor([[3.0], [2.0]])])
    >>> lot.distance(shifted[0], shifted[1]).round(decimals=4)
    tensor(2.)
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "wang2025linearized",
            "Linearized Optimal Transport for Analysis of High-Dimensional Point-Cloud and Single-Cell Data",
            "Tianxiang Wang and Yingtong Ke and Dhananjay Bhaskar and Smita Krishnaswamy and Alexander Cloninger", 2025,
            "2510.22033",
        ),
    )  # fmt: skip

    reference: Tensor
    """`(m, d)`"""
    weights: Tensor | None = None
    """`(m,)`, of sum one; uniform if not given."""
    epsilon: float | Relative | None = None

    def __post_init__(self) -> None:
        if self.reference.ndim != 2 or not self.reference.is_floating_point():
            raise InputError(
                f"the reference must be floating points (m, d), got {self.reference.dtype} of shape "
                f"{tuple(self.reference.shape)}"
            )
        if self.weights is not None and (
            self.weights.shape != self.reference.shape[:1] or bool((self.weights <= 0).any())
        ):
            raise InputError(f"weights must be {len(self.reference)} positive numbers, one for each reference point")

    @torch.no_grad()
    def embed(self, clouds: Sequence[Tensor], masses: Sequence[Tensor] | None = None) -> Tensor:
        """Return one vector for each cloud `(n_k, d)`, with weights `(n_k,)` where given: `(K, m d)`.

        Raises `InputError` for clouds that are not of the reference's dimension and dtype.
        """
        given = [None] * len(clouds) if masses is None else masses
        return torch.stack([self._embed(cloud, mass) for cloud, mass in zip(clouds, given, strict=True)])

    def cloud(self, embedding: Tensor) -> Tensor:
        """Return the points `z_i + E_i / sqrt(a_i)` of an embedding `(..., m d)`, with the reference's weights.

        They are `(..., m, d)`.
        """
        m, d = self.reference.shape
        check_same_event("the embedding", embedding.shape[-1:], "this reference", (m * d,))
        return self.reference + embedding.unflatten(-1, (m, d)) / self._scale

    def distance(self, embedding0: Tensor, embedding1: Tensor) -> Tensor:
        """Return the distances, not squared, between embeddings `(..., m d)`: `(...)`, in units of the points."""
        return torch.linalg.vector_norm(embedding0 - embedding1, dim=-1)

    def barycenter(self, embeddings: Tensor, weights: Tensor | Sequence[float] | None = None) -> Tensor:
        """Return the cloud `(m, d)` of the (weighted) mean of embeddings `(K, m d)`."""
        return self.cloud(shares(weights, len(embeddings), embeddings) @ embeddings)

    def geodesic(self, embedding0: Tensor, embedding1: Tensor, t: float) -> Tensor:
        """Return the cloud `(..., m, d)` at time t of the straight line between two embeddings `(..., m d)`."""
        return self.cloud(torch.lerp(embedding0, embedding1, t))

    @property
    def _scale(self) -> Tensor:
        """sqrt(a), `(m, 1)`."""
        m = len(self.reference)
        weights = self.reference.new_full((m,), 1 / m) if self.weights is None else self.weights
        return weights.sqrt().unsqueeze(-1)

    def _embed(self, cloud: Tensor, mass: Tensor | None) -> Tensor:
        plan = solve(self.reference, cloud, self.weights, mass, epsilon=self.epsilon)
        return (self._scale * (plan.barycentric_map() - self.reference)).flatten()


@torch.no_grad()
def pooled_reference(
    clouds: Sequence[Tensor], size: int, *, rounds: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Return `size` points of all clouds `(n_k, d)` taken together, to serve as a reference: `(size, d)`.

    They are drawn without repetition, each cloud with equal chance, then moved to the means of their cells by `rounds`
    of Lloyd's algorithm (k-means), which spreads them evenly. Raises `InputError` for more points than there are.
    """
    pool = torch.cat(list(clouds))
    if not 1 <= size <= len(pool):
        raise InputError(f"size must lie between 1 and {len(pool)}, the number of points in all clouds, got {size}")
    device = pool.device if generator is None else generator.device
    chance = torch.cat([torch.full((len(cloud),), 1 / len(cloud), device=device) for cloud in clouds])
    x = pool[torch.multinomial(chance, size, generator=generator).to(pool.device)]
    for _ in range(rounds):
        cell = torch.cdist(pool, x).argmin(1)
        counts = torch.bincount(cell, minlength=size).to(x).unsqueeze(-1)
        sums = torch.zeros_like(x).index_add_(0, cell, pool)
        x = torch.where(counts > 0, sums / counts.clamp(min=1), x)
    return x
