"""A velocity that is the gradient of a scalar network, seen through a convex cost."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.geometry import ConvexCost, SquaredEuclidean
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP

__all__ = ["GradientOf", "Potential"]


@dataclass(frozen=True)
class GradientOf(Architecture):
    """The velocity `v(x, t) = grad h*(grad f(x, t))` of a scalar potential f, for the cost `c(x, y) = h(y - x)`.

    f is the sum of what `network` returns, which should be smooth: the gradient of a network of ReLUs is constant in
    pieces. With the squared distance v is itself a gradient, `grad f / 2`. Training differentiates twice, at about
    twice the memory.

    Raises `InputError` for a cost that is not strictly convex.
    """

    network: Architecture = field(default_factory=MLP)
    cost: ConvexCost = field(default_factory=SquaredEuclidean)

    def __post_init__(self) -> None:
        self.cost.conjugate_gradient(torch.ones(1, 1))  # a cost without one says so

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for more than one head."""
        if heads != 1:
            raise InputError(f"GradientOf is one velocity, and cannot predict {heads} things")
        return Potential(self.network.build(event_shape, schema), self.cost)


class Potential(nn.Module):
    """A scalar network f, called for the velocity that it stands for."""

    def __init__(self, network: nn.Module, cost: ConvexCost) -> None:
        """Take the network whose summed output is f, and the cost."""
        super().__init__()
        self.network, self.cost = network, cost

    def momentum(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `grad f(x, t)`: `(B, *event)`; it can be differentiated again when grad mode is on."""
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            # an alias, since `detach` would lose the tangent of forward mode
            point = x if x.requires_grad else x.view_as(x).requires_grad_()
            total = self.network(point, t, condition).sum()
            (gradient,) = torch.autograd.grad(total, point, create_graph=again)
        return gradient

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `grad h*(grad f(x, t))`: `(B, *event)`."""
        return self.cost.conjugate_gradient(self.momentum(x, t, condition).flatten(1)).reshape(x.shape)
