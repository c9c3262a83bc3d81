"""Rotations of the plane, by which recipes turn what they know."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["rotation"]


def rotation(angle: float | Tensor) -> Tensor:
    """Return the `(2, 2)` matrix R for which `x @ R` are the rows of `x` turned by `angle`, in radians."""
    angle = torch.as_tensor(angle)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cosine, sine]), torch.stack([-sine, cosine])])
