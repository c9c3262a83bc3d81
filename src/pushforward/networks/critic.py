"""A critic beside a field: what tells its points from those of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.configuration import Recorded
from pushforward.networks.architecture import Architecture
from pushforward.networks.field import Field
from pushforward.networks.mlp import MLP
from pushforward.networks.residual import Adapter, of_velocities

__all__ = ["Criticised", "WithCritic"]


@dataclass(frozen=True)
class WithCritic(Adapter):
    """Train a flow on together with a critic, a `network` of any architecture that sees a point and a condition and
    returns a number for each entry, high for points of the data.

    Give it to `fit` as the `adapter`, with the trained flow as `init` and the objective `Translation`.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "lim2017geometric",
            "Geometric GAN",
            "Lim, Jae Hyun and Ye, Jong Chul",
            2017,
            arxiv="1705.02894",
        ),
    )
    network: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))

    def adapted(self, field: Field) -> Field:
        """Return the field with the critic beside it, its velocity that of `field`. Raises `InputError` for a path
        whose network works in coordinates of its own.
        """
        return of_velocities(field, Criticised(field, self))


class Criticised(Recorded, nn.Module):
    """The velocity of a field that goes on learning, and a critic."""

    def __init__(self, generator: Field, adapter: WithCritic) -> None:
        super().__init__()
        self.generator, states = generator, generator.state_shape
        self.critic = adapter.network.build(states, generator.path.told(generator.schema))

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times at which the velocity may jump."""
        return self.generator.boundaries

    def judged(self, x: Tensor, condition: Condition | None = None, *, learns: bool = True) -> Tensor:
        """Return the critic's numbers, like `x: (B, *event)`; unless it `learns`, with gradient to x alone."""
        if learns:
            return self.critic(x, x.new_ones(len(x)), condition)
        weights = {name: value.detach() for name, value in self.critic.state_dict(keep_vars=True).items()}
        return torch.func.functional_call(self.critic, weights, (x, x.new_ones(len(x)), condition))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the velocity at `x: (B, *event)`, `t: (B,)`."""
        return self.generator.velocity(x, t, condition)
