"""A network for the acceleration of points that know the velocity they started with, beside a frozen field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.networks import Adapter, Architecture, Concatenated, Field, carried_over
from pushforward.papers import CONSTANT_ACCELERATION
from pushforward.paths.accelerating import Accelerating
from pushforward.paths.affine import Affine
from pushforward.tensors import bcast

__all__ = ["Accelerated", "Acceleration", "OnAccelerating"]

INITIAL = "initial velocity"


@dataclass(frozen=True)
class OnAccelerating(Adapter):
    """Train a flow further with its network and its weights, on the path `Affine(Accelerating(h))`: the first of the
    two trainings of a constant acceleration flow, with the trained flow as `init` and pairs that it makes itself.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSTANT_ACCELERATION,)
    h: float = 1.5

    def adapted(self, field: Field) -> Field:
        """Return the field. Raises `InputError` for a network that was given as a module, and for a path whose network
        works in coordinates of its own.
        """
        return carried_over(field, Affine(Accelerating(self.h)))


@dataclass(frozen=True)
class Acceleration(Adapter):
    """Train a network for the acceleration a(x, t, v0) of points beside a frozen field, which says the velocity v0 they
    start with. It sees v0 as further channels of the state, so that points that meet with different velocities do not
    share one.

    Give it to `fit` as the `adapter`, with a flow on the path `Affine(Accelerating(h))` as `init` and the objective
    `AccelerationMatching`; the solver `AccelerationSteps` then pushes and pulls. `network` is that of the flow, unless
    another is given, from fresh weights.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSTANT_ACCELERATION,)
    network: Architecture | None = None

    def adapted(self, field: Field) -> Field:
        """Return a field with the network beside it, its velocity that of `field`. Raises `InputError` for another
        path, and for a network that was given as a module.
        """
        network = Accelerated(field, self.network or field.architecture)
        adapted = Field(network, field.path, field.event_shape, field.schema, "velocity", field.gaussian_source)
        return adapted.train(field.training)


class Accelerated(Recorded, nn.Module):
    """The velocity of a frozen field, what it says of the velocity at t = 0, and the acceleration from there.

    `forward` is the mean velocity of all points at a state, whatever they started with; `initial` and `acceleration`
    are what single points follow.
    """

    def __init__(self, frozen: Field, network: Architecture) -> None:
        super().__init__()
        schedule = frozen.path.schedule if isinstance(frozen.path, Affine) else None
        if not isinstance(schedule, Accelerating):
            raise InputError("a constant acceleration needs a flow on the path Affine with the schedule Accelerating")
        self.frozen, self.schedule, states = frozen.requires_grad_(False), schedule, frozen.state_shape
        told = frozen.path.told(frozen.schema) | {INITIAL: Column(None, torch.Size(states).numel())}
        self.bend = Concatenated(network, (INITIAL,)).build(states, told)

    def initial(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the velocity at t = 0 that the states `x: (B, *event)` at times `t: (B,)` tell, `h (x1 - x0)`."""
        factor = self.schedule.h / self.schedule(t).d_alpha
        return bcast(factor, x) * self.frozen.velocity(x, t, condition)

    def acceleration(self, x: Tensor, t: Tensor, initial: Tensor, condition: Condition | None = None) -> Tensor:
        """Return a(x, t, v0), like x."""
        return self.bend(x, t, (condition or {}) | {INITIAL: initial.flatten(1)})

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the velocity of the frozen field at `x: (B, *event)`, `t: (B,)`."""
        return self.frozen.velocity(x, t, condition)
