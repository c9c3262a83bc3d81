"""Derivatives in forward mode, through networks of any kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

__all__ = ["forward_mode", "in_forward_mode"]


def in_forward_mode() -> bool:
    """Tell whether `torch.func.jvp`, or a dual level of `torch.autograd.forward_ad`, is under way."""
    return forward_ad._current_level >= 0  # pyright: ignore[reportPrivateUsage]


@contextmanager
def forward_mode() -> Iterator[None]:
    """Open a dual level of `torch.autograd.forward_ad` that networks not written for it can pass through as well.

    Whatever was compiled runs as it was written, since compilers drop tangents without a word, and attention takes the
    kernel that has a derivative in forward mode: the fused ones, and the framework's fast paths of evaluation, have
    none.
    """
    compiled = "torch._dynamo" in sys.modules  # which is slow to import, and nothing is compiled without it
    as_written = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    with as_written, sdpa_kernel(SDPBackend.MATH), _slow_path(), forward_ad.dual_level(), _Linear():
        yield


class _Linear(TorchFunctionMode):
    """Carry tangents through linear layers by one product more. Left to itself, torch takes the tangents of weights,
    which have none, for tensors of zeros, and adds those in Python: half the time of a small network.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs:
            x, weight, *bias = args
            value, tangent = forward_ad.unpack_dual(x)
            if tangent is not None and forward_ad.unpack_dual(weight).tangent is None:
                return forward_ad.make_dual(F.linear(value, weight, *bias), F.linear(tangent, weight))
        return func(*args, **(kwargs or {}))


@contextmanager
def _slow_path() -> Iterator[None]:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
