"""What a network is before it knows the shape of the data: a plain, frozen specification."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from pushforward.conditions import Schema

__all__ = ["Architecture"]


class Architecture(ABC):
    """The hyper-parameters of a network; `build` makes the network for one data set and for what it has to predict."""

    @abstractmethod
    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return a module whose `forward(x, t, condition)` maps `x: (B, C, *rest)`, `t: (B,)` and an encoded condition
        to `heads` tensors like x, joined along their first axis: `(B, heads C, *rest)`.

        Weights are drawn from torch's global random state: seed it for a reproducible start. Raises `InputError` for an
        event shape that this architecture cannot take.
        """
