"""Attention by the framework's fused kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.networks.forward_mode import in_forward_mode
from pushforward.tensors import softmax

__all__ = ["attend"]


def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False) -> Tensor:
    """Return `softmax(q k^T / sqrt(d)) v` over the tokens: `(B, heads, tokens, d)` each; `causal` lets a token see
    those before it and itself alone.
    """
    if in_forward_mode():
        return _written_out(q, k, v, causal=causal)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def _written_out(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """Attention by its formula: the fused kernels have no derivative in forward mode, and that of the plain one cannot
    be differentiated again.
    """
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return softmax(scores, -1) @ v
