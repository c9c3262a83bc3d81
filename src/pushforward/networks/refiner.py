"""A light network beside a frozen field, which follows its velocity from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition
from pushforward.configuration import Recorded
from pushforward.networks.architecture import Architecture
from pushforward.networks.field import Field
from pushforward.networks.mlp import MLP
from pushforward.networks.observed import Concatenated
from pushforward.networks.residual import Adapter, of_velocities
from pushforward.papers import FLOWTURBO

__all__ = ["Refined", "Refiner"]

BEFORE = "velocity a step before"


@dataclass(frozen=True)
class Refiner(Adapter):
    """Train a light `network` r that tells how the velocity of a frozen field changes in a short step: `v(y, t + dt) ~
    v + r(y, t + dt, v)` with `v = v(x, t)` and `y = x + dt v`. It sees v as further channels beside the state.

    Give it to `fit` as the `adapter`, with the trained flow as `init` and the objective `VelocityRefinement`; the
    solver `Program` then takes its last steps with r alone. The authors take one transformer block of the width of the
    field: `DiT(depth=1)`.
    """

    references: ClassVar[tuple[Reference, ...]] = (FLOWTURBO,)
    network: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))

    def adapted(self, field: Field) -> Field:
        """Return a field with the refiner beside it, its velocity that of `field`. Raises `InputError` for a path whose
        network works in coordinates of its own.
        """
        return of_velocities(field, Refined(field, self))


class Refined(Recorded, nn.Module):
    """The velocity of a frozen field, and a light network that follows it."""

    def __init__(self, frozen: Field, adapter: Refiner) -> None:
        super().__init__()
        self.frozen, states = frozen.requires_grad_(False), frozen.state_shape
        told = frozen.path.told(frozen.schema) | {BEFORE: Column(None, torch.Size(states).numel())}
        self.change = Concatenated(adapter.network, (BEFORE,)).build(states, told)

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times at which the velocity may jump."""
        return self.frozen.boundaries

    def refined(self, x: Tensor, t: Tensor, before: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the estimate `v + r(x, t, v)` of the velocity at `(x, t)` from `v = before`, a short step earlier."""
        return before + self.change(x, t, (condition or {}) | {BEFORE: before.flatten(1)})

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the velocity of the frozen field at `x: (B, *event)`, `t: (B,)`."""
        return self.frozen.velocity(x, t, condition)
