"""Multimarginal flow matching: regress the points of all marginals on their mixture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks.vertices import VertexField, bcast_weights
from pushforward.objectives.objective import Minimised
from pushforward.tensors import flat_mean

__all__ = ["VertexRegression"]


@dataclass(frozen=True)
class VertexRegression(Minimised):
    """`E sum_k |g_k(alpha, x(alpha)) - x_k|^2`, with `x(alpha) = sum_k alpha_k x_k` and alpha uniform on the simplex
    (Dirichlet(1)), for a share `edges` of the batch uniform on a random edge.

    Pairs hold a point of every marginal, stacked: `pairs.x1: (B, K + 1, *event)`. The minimiser is the expected point
    of each marginal; where alpha_k is zero, that is the mean of the marginal.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "albergo2024multimarginal",
            "Multimarginal generative modeling with stochastic interpolants",
            "Albergo, Michael S. and Boffi, Nicholas M. and Lindsey, Michael and Vanden-Eijnden, Eric",
            2024,
            arxiv="2310.03695",
            venue="International Conference on Learning Representations",
        ),
    )
    edges: float = 0.3

    def __post_init__(self) -> None:
        if not 0 <= self.edges <= 1:
            raise InputError(f"edges is the share of alphas on the edges of the simplex, got {self.edges}")

    def __call__(
        self, field: VertexField, pairs: Pairs, path: Path | None = None, *, generator: torch.Generator | None = None
    ) -> Loss:
        """Return the loss on stacked points; alpha is drawn from `generator`."""
        ends = pairs.x1
        alpha = self.weights(*ends.shape[:2], like=ends, generator=generator)
        x = (bcast_weights(alpha, ends) * ends).sum(1)
        per_sample = flat_mean((field.vertices(x, alpha) - ends).square())
        return Loss(per_sample.mean(), {}, per_sample.detach())

    def weights(self, rows: int, marginals: int, *, like: Tensor, generator: torch.Generator | None) -> Tensor:
        """Draw `alpha: (rows, marginals)`."""
        spacing = torch.rand(rows, marginals, generator=generator, dtype=like.dtype, device=like.device)
        exponential = -(1 - spacing).log()
        # an edge keeps two of the numbers, and two exponentials normalised are uniform
        order = torch.rand(rows, marginals, generator=generator, device=like.device).argsort(1)
        on_edge = torch.rand(rows, 1, generator=generator, device=like.device) < self.edges
        kept = exponential.masked_fill(on_edge & (order > 1), 0.0)
        return kept / kept.sum(1, keepdim=True).clamp(min=1e-12)
