"""The field of several marginals at once: the expected point of each, given a mixture of them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from pushforward.conditions import Column
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.tensors import bcast

__all__ = ["VertexField", "Vertices"]


class Vertices(Protocol):
    """Anything that knows `g_k(alpha, x) = E[x_k | sum_j alpha_j x_j = x]`: a trained field or a closed form."""

    def vertices(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return all g_k at `x: (B, *event)`, `alpha: (B, K + 1)`: `(B, K + 1, *event)`."""
        ...


class VertexField(Recorded, nn.Module):
    """One network for all `g_k(alpha, x)`, one head for each of the `marginals`, told alpha as a condition.

    With `projected` the heads are moved by the least that makes `sum_k alpha_k g_k = x`, which holds for the truth.
    """

    path: None = None
    """There is none before a route is chosen."""

    def __init__(
        self, network: Architecture, event_shape: tuple[int, ...], marginals: int, projected: bool = True
    ) -> None:
        super().__init__()
        if marginals < 2:
            raise InputError(f"a field of several marginals needs at least two, got {marginals}")
        self.event_shape, self.marginals, self.projected = tuple(event_shape), marginals, projected
        schema = {"alpha": Column(width=marginals, shift=1 / marginals, scale=marginals**-0.5)}
        self.network = network.build(self.event_shape, schema, marginals)

    def vertices(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Return all g_k at `x: (B, *event)`, `alpha: (B, K + 1)`: `(B, K + 1, *event)`."""
        heads = self.network(x, alpha.new_zeros(len(x)), {"alpha": alpha})
        g = heads.reshape(len(x), self.marginals, *self.event_shape)
        if not self.projected:
            return g
        weight = alpha / alpha.square().sum(1, keepdim=True)
        missing = x - (bcast_weights(alpha, g) * g).sum(1)
        return g + bcast_weights(weight, g) * missing[:, None]


def bcast_weights(alpha: Tensor, points: Tensor) -> Tensor:
    """Reshape `alpha: (B, K + 1)` so that it multiplies `points: (B, K + 1, *event)`."""
    return bcast(alpha.flatten(), points.flatten(0, 1)).unflatten(0, alpha.shape)
