"""A multilayer perceptron, residual on request, for vectors and small arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError, nearest
from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding, FourierTime

__all__ = ["MLP"]

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "selu": F.selu,
    "relu": F.relu,
    "tanh": torch.tanh,
}


@dataclass(frozen=True)
class MLP(Architecture):
    """`depth` hidden layers of `width` units on the flattened point, the time and `time_features` Fourier frequencies
    of it.

    `h <- act(W h + b)`, or `h <- h + act(W h + b)` from the second layer on when `residual`, which deep stacks need and
    shallow ones do not. The condition's embedding is added before the first activation. The last layer starts at zero,
    so that an untrained network predicts 0. The defaults launch what a plain stack of the same layers on (x, t) does.

    >>> net = MLP(width=32).build((2,), {})
    >>> net(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    width: int = 256
    depth: int = 3
    time_features: int = 0
    activation: Literal["gelu", "silu", "selu", "relu", "tanh"] = "gelu"
    residual: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1 or self.time_features < 0:
            raise InputError(f"MLP needs width and depth of at least 1 and time_features of at least 0, got {self}")
        if self.activation not in _ACTIVATIONS:
            raise InputError(f"unknown activation {self.activation!r}{nearest(self.activation, _ACTIVATIONS)}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network, for points of any shape."""
        return _MLPModule(self, event_shape, schema, heads)


class _MLPModule(nn.Module):
    def __init__(self, spec: MLP, event_shape: tuple[int, ...], schema: Schema, heads: int) -> None:
        super().__init__()
        size, self.shape = math.prod(event_shape), (heads * event_shape[0], *event_shape[1:])
        self.activation, self.residual = _ACTIVATIONS[spec.activation], spec.residual
        self.time = FourierTime(spec.time_features) if spec.time_features else None
        self.condition = ConditionEmbedding(schema, spec.width) if schema else None
        self.first = nn.Linear(size + 1 + 2 * spec.time_features, spec.width)
        self.hidden = nn.ModuleList(nn.Linear(spec.width, spec.width) for _ in range(spec.depth - 1))
        self.last = nn.Linear(spec.width, heads * size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        flat = x.flatten(1)
        parts = [flat, t[:, None]] if self.time is None else [flat, t[:, None], self.time(t)]
        h = self.first(torch.cat(parts, 1))
        if self.condition is not None:
            h = h + self.condition(condition, x.shape[0])
        h = self.activation(h)
        for layer in self.hidden:
            step = self.activation(layer(h))
            h = h + step if self.residual else step
        return self.last(h).reshape(x.shape[0], *self.shape)
