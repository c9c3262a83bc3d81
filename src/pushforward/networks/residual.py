"""What is trained beside a field that stays as it is."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.field import Field
from pushforward.networks.mlp import MLP
from pushforward.papers import RECONSTRUCTION_LIKELIHOOD

__all__ = ["Adapter", "Additive", "ContractiveResidual", "Corrected", "Residual", "of_velocities"]


class Adapter(ABC):
    """What is trained beside a field that stays as it is."""

    @abstractmethod
    def adapted(self, field: Field) -> Field:
        """Return a field that starts from `field`, which it holds with its parameters frozen. Raises `InputError` for
        one that cannot be adapted.
        """

    def after(self, first: Adapter) -> Adapter:
        """Return this adapter on what `first` makes of a field. Raises `InputError` for one that stands alone, as most
        do.
        """
        raise InputError(f"{type(self).__name__} cannot carry what {type(first).__name__} makes of a flow: take LoRA")


def of_velocities(field: Field, network: nn.Module) -> Field:
    """Return a field like `field`, of a `network` that predicts the velocity as a user sees it. Raises `InputError` for
    a path whose network works in coordinates of its own.
    """
    if field.path.wrapped(network, field.event_shape, field.schema, ("velocity",)) is not network:
        raise InputError(f"a residual is added to velocities, which {type(field.path).__name__} transforms")
    adapted = Field(network, field.path, field.event_shape, field.schema, "velocity", field.gaussian_source)
    return adapted.train(field.training)


class Additive(Adapter):
    """A residual to train: what is added to the velocity of the field."""

    @abstractmethod
    def build(self, event_shape: tuple[int, ...], schema: Schema) -> nn.Module:
        """Return a module whose `forward(x, t, condition)` is what is added, like `x: (B, *event)`."""

    def adapted(self, field: Field) -> Field:
        """Return a field that starts from `field`, which it holds with its parameters frozen. Raises `InputError` for a
        path whose network works in coordinates of its own.
        """
        return of_velocities(field, Corrected(field, self))


@dataclass(frozen=True)
class Residual(Additive):
    """Add a network of any architecture to the velocity, zero at first as architectures are."""

    references: ClassVar[tuple[Reference, ...]] = (RECONSTRUCTION_LIKELIHOOD,)
    network: Architecture = field(default_factory=lambda: MLP(width=64, depth=2))

    def build(self, event_shape: tuple[int, ...], schema: Schema) -> nn.Module:
        """Return the network."""
        return self.network.build(event_shape, schema)


@dataclass(frozen=True)
class ContractiveResidual(Additive):
    """Add to the velocity a residual that draws points together: `r(x, t) = ramp(t) [g(t) - W^T (s(t) tanh(W x +
    b(t)))]` with `s >= 0`.

    Its Jacobian, `-ramp W^T diag(s (1 - tanh^2)) W`, is symmetric and negative semidefinite at every point, so the
    symmetric part of the whole velocity's Jacobian has nowhere larger eigenvalues than before: errors on the way grow
    less. The ramp rises linearly from 0 at `begin` to 1 at t = 1, since a flow that contracts from the start cannot
    split one mode into several. W has `width` rows; g, s and b are a small network of time and condition, g zero and s
    small at first.

    The paper asks that the whole field contract; this form of the residual is this library's.
    """

    references: ClassVar[tuple[Reference, ...]] = (RECONSTRUCTION_LIKELIHOOD,)
    width: int = 64
    begin: float = 0.25

    def __post_init__(self) -> None:
        if self.width < 1 or not 0 <= self.begin < 1:
            raise InputError(f"ContractiveResidual needs a positive width and begin in [0, 1), got {self}")

    def build(self, event_shape: tuple[int, ...], schema: Schema) -> nn.Module:
        """Return the residual."""
        return _Contraction(self, math.prod(event_shape), schema)


class Corrected(Recorded, nn.Module):
    """The velocity of a frozen field plus a residual; `forward(x, t, condition)`, like x."""

    def __init__(self, frozen: Field, adapter: Additive) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.residual = adapter.build(frozen.state_shape, frozen.path.told(frozen.schema))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the corrected velocity at `x: (B, *event)`, `t: (B,)`."""
        return self.frozen.velocity(x, t, condition) + self.residual(x, t, condition)


class _Contraction(nn.Module):
    def __init__(self, spec: ContractiveResidual, size: int, schema: Schema) -> None:
        super().__init__()
        width, self.begin = spec.width, spec.begin
        self.sizes = (width, width, size)
        self.directions = nn.Parameter(torch.randn(width, size) / size**0.5)
        self.time, self.hidden = FourierTime(8), nn.Linear(17, width)
        self.condition = ConditionEmbedding(schema, width) if schema else None
        self.last = nn.Linear(width, sum(self.sizes))
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(torch.cat([torch.full((width,), -3.0), torch.randn(width), torch.zeros(size)]))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        h = self.hidden(torch.cat([t[:, None], self.time(t)], 1))
        h = h if self.condition is None else h + self.condition(condition, len(x))
        strength, offset, shift = self.last(F.silu(h)).split(self.sizes, 1)
        pull = F.softplus(strength) * torch.tanh(F.linear(x.flatten(1), self.directions) + offset)
        ramp = ((t - self.begin) / (1 - self.begin)).clamp(min=0)
        return (ramp[:, None] * (shift - pull @ self.directions)).reshape(x.shape)
