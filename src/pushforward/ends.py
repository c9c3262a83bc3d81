"""What a path does to the points at one of its two ends."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from pushforward.conditions import Condition

__all__ = ["Chained", "End", "Scaled"]


class End:
    """The invertible map from the points of one side to the states of a path there, possibly by condition.

    Points are those of a pair, `x0` or `x1`; states are what the path starts from at t = 0, or ends at for t = 1. This
    one leaves points as they are. Only the ends of flows in a latent space change the shape, and forget.
    """

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the state of a point of `event_shape`: the same, but in a latent space."""
        return event_shape

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the states of the points `x: (B, *event)`."""
        return x

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the points of the states: the inverse of `encode`."""
        return state

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `log |det d encode / dx|` at the points `x`, which log-densities need: `(B,)`. Raises `InputError`
        where the map has none.
        """
        return x.new_zeros(x.shape[0])


@dataclass(frozen=True)
class Scaled(End):
    """States are the points times `scale > 0`: the noise of a path whose noise is not of unit size.

    >>> import torch
    >>> Scaled(2.0).decode(Scaled(2.0).encode(torch.ones(1, 3)))
    tensor([[1., 1., 1.]])
    """

    scale: float

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `scale x`."""
        return x * self.scale

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `state / scale`."""
        return state / self.scale

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `d log(scale)`."""
        return x.new_full((x.shape[0],), x[0].numel() * math.log(self.scale))


@dataclass(frozen=True)
class Chained(End):
    """One map after another: `second(first(x))`."""

    first: End
    second: End

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a state."""
        return self.second.shape(self.first.shape(event_shape))

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `second(first(x))`."""
        return self.second.encode(self.first.encode(x, condition), condition)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the points of the states."""
        return self.first.decode(self.second.decode(state, condition), condition)

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the sum of both."""
        middle = self.first.encode(x, condition)
        return self.first.log_volume(x, condition) + self.second.log_volume(middle, condition)
