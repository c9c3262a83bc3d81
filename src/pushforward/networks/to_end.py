"""Flow maps that know one way only: from wherever the state is to where the flow ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.field import Field
from pushforward.networks.mlp import MLP
from pushforward.networks.residual import Adapter
from pushforward.networks.two_time import as_map

__all__ = ["CONSISTENCY_MODELS", "EndVelocity", "ToEnd", "ToEnds"]

CONSISTENCY_MODELS = Reference(
    "song2023consistency",
    "Consistency Models",
    "Song, Yang and Dhariwal, Prafulla and Chen, Mark and Sutskever, Ilya",
    2023,
    arxiv="2303.01469",
    venue="International Conference on Machine Learning",
)


@dataclass(frozen=True)
class ToEnd(Architecture):
    """The average velocity `u(x; t, 1)` on the way to the end of the flow, by a `network` of any architecture: that of
    a consistency model, `f(x, t) = x + (1 - t) u(x; t, 1)`, with `f(x, 1) = x` by construction.

    It knows jumps to t = 1 and no others, hence no velocity: asked for one it raises `InputError`.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSISTENCY_MODELS,)
    network: Architecture = field(default_factory=MLP)

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity."""
        if heads != 1:
            raise InputError(f"ToEnd predicts the average velocity alone, not {heads} things")
        return EndVelocity(self.network.build(event_shape, schema))


class EndVelocity(nn.Module):
    """The module of `ToEnd`."""

    only_to_end = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None, end: Tensor | None = None) -> Tensor:
        """Return the average velocity from `x: (B, *event)` at time t to the `end`, which is 1, as steppers see to
        (`only_to_end`). Raises `InputError` where none is given: there is no velocity.
        """
        if end is None:
            raise InputError("a consistency model knows where the flow ends, not its velocity: push in some steps")
        return self.network(x, t, condition)

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `u(x; s, 1)`."""
        return self(x, s, condition, e)


@dataclass(frozen=True)
class ToEnds(Adapter):
    """Train the network of a flow on as a consistency model: a copy of it, which starts with the flow's velocity in the
    place of the average one. Give it to `fit` as the `adapter`, with the trained flow as `init`.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSISTENCY_MODELS,)

    def adapted(self, field: Field) -> Field:
        """Return the field with the weights of `field`; the same if it is a consistency model already. Raises
        `InputError` for a network without an architecture, or in coordinates of its own.
        """
        spec = field.architecture
        return field if isinstance(spec, ToEnd) else as_map(field, spec, ToEnd(spec))
