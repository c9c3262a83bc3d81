"""Attention by the framework's fused kernels."""

from __future__ import annotations

import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["attend"]


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return `softmax(q k^T / sqrt(d)) v` over the tokens: `(B, heads, tokens, d)` each."""
    # the fused kernels have no forward-mode derivative: under jvp take the plain one
    if forward_ad._current_level >= 0:  # pyright: ignore[reportPrivateUsage]
        with sdpa_kernel(SDPBackend.MATH):
            return F.scaled_dot_product_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)
