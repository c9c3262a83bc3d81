"""A transformer on patches, modulated by time and condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.patches import Patches
from pushforward.networks.rotary import Rotary
from pushforward.networks.transformer import TransformerBlock, check_heads, normed, zero

__all__ = ["DiT"]


@dataclass(frozen=True)
class DiT(Architecture):
    """Diffusion transformer: `depth` blocks of self-attention and a two-layer network on tokens of `width` numbers,
    time and condition by adaptive layer norm (adaLN-Zero).

    Points are cut into patches of side `patch` along every axis but the channels (`Patches`): images `(C, H, W)`,
    sequences `(C, L)`, and vectors `(d,)` as sequences of one channel. With `positions="learned"` the place of a patch
    is a vector that is added to its token; with `"rotary"` queries and keys are turned by angles that grow with their
    place (`Rotary`), so that attention sees how far apart patches lie, and nothing is learned for any of them.

    A block is `h <- h + g1 attention(s1 norm(h) + b1)`, `h <- h + g2 network(s2 norm(h) + b2)` with `s, b, g` linear in
    the embedding of time and condition. The gates g and the last layer start at zero, so that an untrained network
    predicts 0. Attention has heads of `head_width` numbers, which divides `width`; its cost grows with the square of
    the number of patches.

    >>> net = DiT(width=32, depth=2).build((1, 8, 8), {})
    >>> net(torch.zeros(2, 1, 8, 8), torch.zeros(2)).shape
    torch.Size([2, 1, 8, 8])
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "peebles2023scalable",
            "Scalable Diffusion Models with Transformers",
            "Peebles, William and Xie, Saining",
            2023,
            arxiv="2212.09748",
        ),
        *Rotary.references,
    )
    width: int = 128
    depth: int = 4
    patch: int = 2
    head_width: int = 32
    expansion: int = 4
    time_features: int = 16
    positions: Literal["learned", "rotary"] = "learned"

    def __post_init__(self) -> None:
        if self.positions not in ("learned", "rotary"):
            raise InputError(f"positions must be learned or rotary, got {self.positions!r}")
        if min(self.width, self.depth, self.patch, self.head_width, self.expansion, self.time_features) < 1:
            raise InputError(f"DiT needs positive sizes, got {self}")
        check_heads(self.width, self.head_width)

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network, for points of any shape."""
        return _DiTModule(self, Patches(tuple(event_shape), self.patch), schema, heads)


class _DiTModule(nn.Module):
    def __init__(self, spec: DiT, patches: Patches, schema: Schema, heads: int) -> None:
        super().__init__()
        width, self.patches = spec.width, patches
        self.time = nn.Sequential(FourierTime(spec.time_features), nn.Linear(2 * spec.time_features, width))
        self.condition = ConditionEmbedding(schema, width) if schema else None
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.first = nn.Linear(patches.width, width)
        rotary = spec.positions == "rotary"
        self.places = None if rotary else nn.Parameter(0.1 * torch.randn(patches.tokens, width))
        turn = Rotary(patches.grid, spec.head_width) if rotary else None
        blocks = (TransformerBlock(width, spec.head_width, spec.expansion, turn) for _ in range(spec.depth))
        self.blocks = nn.ModuleList(blocks)
        self.modulation = zero(nn.Linear(width, 2 * width))
        self.last = zero(nn.Linear(width, heads * patches.width))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        embedding = self.time(t)
        if self.condition is not None:
            embedding = embedding + self.condition(condition, x.shape[0])
        embedding = self.mix(embedding)[:, None]
        h = self.first(self.patches.split(x))
        if self.places is not None:
            h = h + self.places
        for block in self.blocks:
            h = block(h, embedding)
        return self.patches.join(self.last(normed(h, *self.modulation(embedding).chunk(2, 2))))
