"""The block that transformers are made of, with memory for those that look back only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.errors import InputError
from pushforward.networks.attention import attend

__all__ = ["Memory", "TransformerBlock", "check_heads", "normed", "zero"]


@dataclass
class Memory:
    """What one block of a causal transformer has seen: keys and values `(B, heads, tokens, d)` of all tokens so far."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Add the new tokens, and let each attend to all before it and to itself: like `q`.

        The new tokens are the first ones, or a single one: no mask is needed then.
        """
        first = self.keys is None
        self.keys = k if self.keys is None else torch.cat([self.keys, k], 2)
        self.values = v if self.values is None else torch.cat([self.values, v], 2)
        assert first or q.shape[2] == 1
        return attend(q, self.keys, self.values, causal=first)


class TransformerBlock(nn.Module):
    """Self-attention over the tokens, then a network on each of them, each scaled, shifted and gated by an embedding:
    `h <- h + g1 attention(s1 norm(h) + b1)`, `h <- h + g2 network(s2 norm(h) + b2)`.

    Both are left out as long as their gates are zero, as they are at first. Queries and keys pass through `turn`, which
    may tell them their places.
    """

    def __init__(self, width: int, head_width: int, expansion: int, turn: nn.Module | None = None) -> None:
        super().__init__()
        self.head_width, self.turn = head_width, turn or nn.Identity()
        self.modulation = zero(nn.Linear(width, 6 * width))
        self.qkv, self.project = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
        self.network = nn.Sequential(
            nn.Linear(width, expansion * width), nn.GELU("tanh"), nn.Linear(expansion * width, width)
        )

    def forward(self, h: Tensor, embedding: Tensor, memory: Memory | None = None) -> Tensor:
        """Return tokens like `h: (B, tokens, width)`, with `embedding: (B, tokens or 1, width)`.

        All tokens see each other; with a `memory` each sees those before it alone, and those that the memory holds.
        """
        scale1, shift1, gate1, scale2, shift2, gate2 = self.modulation(embedding).chunk(6, 2)
        h = h + gate1 * self._attention(normed(h, scale1, shift1), memory)
        return h + gate2 * self.network(normed(h, scale2, shift2))

    def _attention(self, h: Tensor, memory: Memory | None) -> Tensor:
        q, k, v = self.qkv(h).unflatten(2, (3, -1, self.head_width)).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = self.turn(q), self.turn(k)
        seen = attend(q, k, v) if memory is None else memory.attend(q, k, v)
        return self.project(seen.transpose(1, 2).flatten(2))


def normed(h: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Standardise every token `(B, tokens, width)`, then scale and shift it by `(B, tokens or 1, width)`."""
    return torch.addcmul(shift, F.layer_norm(h, h.shape[-1:]), 1 + scale)


def zero(layer: nn.Linear) -> nn.Linear:
    """Return the layer with weight and bias zero."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def check_heads(width: int, head_width: int) -> None:
    """Raise `InputError` unless heads of attention fill the width."""
    if width % head_width:
        raise InputError(f"a transformer needs a width that is a multiple of head_width: got {width}, {head_width}")
