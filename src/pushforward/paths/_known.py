"""Entries that a pair's mask holds fixed: what in-painting and partial observations ask of every path."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hold_known"]


def hold_known(mask: Tensor, x: Tensor, v: Tensor, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Return state and velocity with the entries where `mask` is false at their known value `x1`, not moving."""
    return torch.where(mask, x, x1), torch.where(mask, v, 0)
