"""A transformer on patches, modulated by time and condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.attention import attend
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.patches import Patches

__all__ = ["DiT"]


@dataclass(frozen=True)
class DiT(Architecture):
    """Diffusion transformer: `depth` blocks of self-attention and a two-layer network on tokens of `width` numbers,
    time and condition by adaptive layer norm (adaLN-Zero).

    Points are cut into patches of side `patch` along every axis but the channels (`Patches`): images `(C, H, W)`,
    sequences `(C, L)`, and vectors `(d,)` as sequences of one channel; the place of a patch is a learned vector. A
    block is `h <- h + g1 attention(s1 norm(h) + b1)`, `h <- h + g2 network(s2 norm(h) + b2)` with `s, b, g` linear in
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
    )
    width: int = 128
    depth: int = 4
    patch: int = 2
    head_width: int = 32
    expansion: int = 4
    time_features: int = 16

    def __post_init__(self) -> None:
        if min(self.width, self.depth, self.patch, self.head_width, self.expansion, self.time_features) < 1:
            raise InputError(f"DiT needs positive sizes, got {self}")
        if self.width % self.head_width:
            raise InputError(f"DiT needs a width that is a multiple of head_width: got {self.width}, {self.head_width}")

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
        self.places = nn.Parameter(0.1 * torch.randn(patches.tokens, width))
        self.blocks = nn.ModuleList(_Block(spec) for _ in range(spec.depth))
        self.modulation = _zero(nn.Linear(width, 2 * width))
        self.last = _zero(nn.Linear(width, heads * patches.width))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        embedding = self.time(t)
        if self.condition is not None:
            embedding = embedding + self.condition(condition, x.shape[0])
        embedding = self.mix(embedding)
        h = self.first(self.patches.split(x)) + self.places
        for block in self.blocks:
            h = block(h, embedding)
        return self.patches.join(self.last(_normed(h, *self.modulation(embedding).chunk(2, 1))))


class _Block(nn.Module):
    """Self-attention over the tokens, then a network on each of them; both are left out as long as their gates are
    zero, as they are at first.
    """

    def __init__(self, spec: DiT) -> None:
        super().__init__()
        width, self.head_width = spec.width, spec.head_width
        self.modulation = _zero(nn.Linear(width, 6 * width))
        self.qkv, self.project = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.Linear(width, spec.expansion * width), nn.GELU("tanh"), nn.Linear(spec.expansion * width, width)
        )

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(embedding).chunk(6, 1)
        h = h + gate1[:, None] * self._attention(_normed(h, scale1, shift1))
        return h + gate2[:, None] * self.network(_normed(h, scale2, shift2))

    def _attention(self, h: Tensor) -> Tensor:
        q, k, v = self.qkv(h).unflatten(2, (3, -1, self.head_width)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.project(attend(q, k, v).transpose(1, 2).flatten(2))


def _normed(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Standardise every token `(B, tokens, width)`, then scale and shift it by `(B, width)`."""
    return torch.addcmul(shift[:, None], F.layer_norm(h, h.shape[-1:]), 1 + scale[:, None])


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
