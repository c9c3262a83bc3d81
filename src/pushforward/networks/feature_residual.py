"""Features of the state worked out once for a segment of time, and followed from there by a light network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.feature_guided import Guided
from pushforward.networks.field import Field
from pushforward.networks.mlp import MLP
from pushforward.networks.residual import Adapter
from pushforward.networks.segments import BLOCKWISE

__all__ = ["FeatureResidual", "FollowedFeatures"]

FIRST = "features at the first state of the segment"


@dataclass(frozen=True)
class FeatureResidual(Adapter):
    """Follow the features of a frozen `FeatureGuided` network through each segment of time by a light `network` rho:
    `f(x_t, t) ~ f_m + rho(x_t, t, f_m)` with `f_m = f(x_{t_m}, t_m)` where the segment begins.

    The backbone then runs once a segment in sampling, instead of at every evaluation. Give it to `fit` as the
    `adapter`, with the trained flow as `init` and the objective `FeatureApproximation`. Against the direction of time,
    and where no solver has noted the first features, they are worked out exactly.
    """

    references: ClassVar[tuple[Reference, ...]] = (BLOCKWISE,)
    network: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))

    def adapted(self, field: Field) -> Field:
        """Return a field with the light network beside it. Raises `InputError` for another network than
        `FeatureGuided`.
        """
        if not isinstance(field.network, Guided):
            raise InputError("FeatureResidual needs a flow whose network is FeatureGuided")
        followed = FollowedFeatures(field, self)
        adapted = Field(followed, field.path, field.event_shape, field.schema, field.predicts, field.gaussian_source)
        return adapted.train(field.training)


class FollowedFeatures(Recorded, nn.Module):
    """The network of a frozen field, its features exact or followed from where their segment of time began."""

    def __init__(self, frozen: Field, adapter: FeatureResidual) -> None:
        super().__init__()
        assert isinstance(frozen.network, Guided)  # by `FeatureResidual.adapted`
        self.frozen, guided = frozen.requires_grad_(False), frozen.network
        states = frozen.state_shape
        schema = frozen.path.told(frozen.schema) | {FIRST: Column(None, guided.features * torch.Size(states).numel())}
        self.residual = adapter.network.build(states, schema, guided.features)

    @property
    def guided(self) -> Guided:
        """The frozen network."""
        assert isinstance(self.frozen.network, Guided)
        return self.frozen.network

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times at which the network may jump."""
        return self.guided.boundaries

    def entered(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Condition:
        """Return the condition with the features of the first state of a segment, to be told until its end."""
        return (condition or {}) | {FIRST: self.guided.described(x, t, condition)}

    def kept(self, condition: Condition) -> Tensor:
        """Return the features in a condition that `entered` returned: `(B, k)`."""
        return condition[FIRST]

    def followed(self, x: Tensor, t: Tensor, condition: Condition) -> Tensor:
        """Return features of the state, from a condition that `entered` returned: `(B, k)`."""
        return self.kept(condition) + self.residual(x, t, condition).flatten(1)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        if condition is None or FIRST not in condition:
            return self.guided(x, t, condition)
        return self.guided.told(x, t, self.followed(x, t, condition), condition)
