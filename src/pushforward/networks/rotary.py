"""Rotary positions: queries and keys turned by angles that grow with their place, so that attention sees distances."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.errors import InputError

__all__ = ["Rotary"]

LONGEST = 100.0


class Rotary(nn.Module):
    """Turn pairs of numbers of a vector at place p by the angles `p w_k`, `w_k = longest^(-k / K)`, along every axis of
    a grid.

    A head's `width` is shared out equally among the axes, and `K = width / (2 axes)`; the rest, where it does not
    divide, stays as it is. The inner product of a turned query and a turned key depends on the difference of their
    places only.

    >>> turned = Rotary((4, 4), 8)(torch.ones(1, 2, 16, 8))
    >>> turned.shape
    torch.Size([1, 2, 16, 8])
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "su2021roformer",
            "RoFormer: Enhanced Transformer with Rotary Position Embedding",
            "Su, Jianlin and Lu, Yu and Pan, Shengfeng and Murtadha, Ahmed and Wen, Bo and Liu, Yunfeng",
            2021,
            arxiv="2104.09864",
        ),
    )

    def __init__(self, grid: tuple[int, ...], width: int, longest: float = LONGEST) -> None:
        """Prepare the angles of every place of `grid`, last axis fastest. Raises `InputError` for a width that has no
        pair for each axis.
        """
        super().__init__()
        pairs = width // (2 * len(grid))
        if pairs < 1:
            raise InputError(f"rotary positions on {len(grid)} axes need heads of at least {2 * len(grid)} numbers")
        frequencies = longest ** (-torch.arange(pairs) / pairs)
        places = torch.cartesian_prod(*(torch.arange(side) for side in grid)).reshape(-1, len(grid))
        angles = (places[:, :, None] * frequencies).flatten(1)
        self.cosine: Tensor
        self.sine: Tensor
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Turn queries or keys `(B, heads, tokens, width)`."""
        turned = 2 * self.cosine.shape[1]
        first, second, rest = x[..., : turned // 2], x[..., turned // 2 : turned], x[..., turned:]
        return torch.cat([first * self.cosine - second * self.sine, second * self.cosine + first * self.sine, rest], -1)
