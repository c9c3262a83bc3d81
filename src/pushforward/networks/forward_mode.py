"""Whether a derivative is carried along in forward mode: a few fast routes must then be left."""

from __future__ import annotations

import torch.autograd.forward_ad as forward_ad

__all__ = ["in_forward_mode"]


def in_forward_mode() -> bool:
    """Tell whether `torch.func.jvp`, or a dual level of `torch.autograd.forward_ad`, is under way."""
    return forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]
