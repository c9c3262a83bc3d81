"""Points cut into patches, the tokens of a transformer, and put together again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["Patches"]


@dataclass(frozen=True)
class Patches:
    """Cubes of side `size` along every axis of a point but its channels: a token for each.

    Images `(C, H, W)`, sequences `(C, L)` and volumes are cut as they are; a vector `(d,)` is a sequence of one
    channel. Sides that are no multiple of `size` are padded with zeros, and cropped again.

    >>> import torch
    >>> cut = Patches((3, 5, 6), 2)
    >>> tokens = cut.split(torch.ones(7, 3, 5, 6))
    >>> tokens.shape, cut.join(tokens).shape
    (torch.Size([7, 9, 12]), torch.Size([7, 3, 5, 6]))
    """

    event_shape: tuple[int, ...]
    size: int

    @property
    def sides(self) -> tuple[int, ...]:
        """Lengths of the axes that are cut."""
        return self.event_shape[1:] or self.event_shape

    @property
    def channels(self) -> int:
        """Numbers at each place."""
        return self.event_shape[0] if len(self.event_shape) > 1 else 1

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of patches along each axis."""
        return tuple(-(-side // self.size) for side in self.sides)

    @property
    def tokens(self) -> int:
        """Number of patches."""
        return math.prod(self.grid)

    @property
    def width(self) -> int:
        """Numbers in a patch."""
        return self.channels * self.size ** len(self.sides)

    def split(self, x: Tensor) -> Tensor:
        """`(B, *event) -> (B, tokens, width)`."""
        axes, batch = len(self.sides), x.shape[0]
        x = x.reshape(batch, self.channels, *self.sides)
        if any(side % self.size for side in self.sides):
            x = F.pad(x, [n for side in reversed(self.sides) for n in (0, -side % self.size)])
        cut = x.reshape(batch, self.channels, *(n for count in self.grid for n in (count, self.size)))
        places, inside = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
        return cut.permute(0, *places, 1, *inside).reshape(batch, self.tokens, self.width)

    def join(self, tokens: Tensor) -> Tensor:
        """`(B, tokens, heads width) -> (B, heads C, *rest)`: the inverse of `split`, for one head or several."""
        axes, batch = len(self.sides), tokens.shape[0]
        heads = tokens.shape[2] // self.width
        cut = tokens.reshape(batch, *self.grid, heads * self.channels, *([self.size] * axes))
        order = [n for axis in range(axes) for n in (1 + axis, 2 + axes + axis)]
        x = cut.permute(0, 1 + axes, *order)
        x = x.reshape(batch, heads * self.channels, *(count * self.size for count in self.grid))
        for axis, side in enumerate(self.sides):
            x = x.narrow(2 + axis, 0, side)
        return x.reshape(batch, heads * self.event_shape[0], *self.event_shape[1:])
