"""Features of the state, worked out by one network and given to another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP
from pushforward.networks.segments import BLOCKWISE, SegmentExperts

__all__ = ["FeatureGuided", "Guided"]

FEATURES = "features of the state"


@dataclass(frozen=True)
class FeatureGuided(Architecture):
    """A `network` that is told features `f = F(x_t, t)` of the state beside the state: `v(x_t, t, f)`.

    F is another network, the `backbone`, and gives `features` numbers for each entry of a point; for the `network` they
    are one more condition. With `SegmentExperts` all segments share them. `objectives.FeatureAlignment("backbone")`
    aligns them with frozen features of the data (semantic feature guidance), and `FeatureResidual` replaces F by
    something lighter after training.

    >>> net = FeatureGuided(MLP(width=8), SegmentExperts((0.0, 0.5, 1.0), MLP(width=8))).build((2,), {})
    >>> net(torch.zeros(5, 2), torch.rand(5)).shape
    torch.Size([5, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = (BLOCKWISE,)
    backbone: Architecture = field(default_factory=MLP)
    network: Architecture = field(default_factory=SegmentExperts)
    features: int = 1

    def __post_init__(self) -> None:
        if self.features < 1:
            raise InputError(f"features must be at least 1, got {self.features}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return both networks as one."""
        width = self.features * torch.Size(event_shape).numel()
        told = schema | {FEATURES: Column(None, width)}
        backbone = self.backbone.build(event_shape, schema, self.features)
        return Guided(backbone, self.network.build(event_shape, told, heads), self.features)


class Guided(nn.Module):
    """A `backbone` that describes states by `features` numbers for each entry, and the `network` that is told them."""

    def __init__(self, backbone: nn.Module, network: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone, self.network, self.features = backbone, network, features

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times at which the network may jump."""
        return getattr(self.network, "boundaries", ())

    def described(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the features `f = F(x, t)`: `(B, k)`."""
        return self.backbone(x, t, condition).flatten(1)

    def told(self, x: Tensor, t: Tensor, features: Tensor, condition: Condition | None = None) -> Tensor:
        """Return what the network makes of the state and these features of it."""
        return self.network(x, t, (condition or {}) | {FEATURES: features})

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        return self.told(x, t, self.described(x, t, condition), condition)
