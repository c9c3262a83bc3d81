"""Derivatives in forward mode, through networks of any kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import Tensor
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
    with as_written, sdpa_kernel(SDPBackend.MATH), _slow_path(), forward_ad.dual_level(), _OneTangent():
        yield


_RULES: dict[tuple[Any, int], Callable[..., Tensor]] = {
    (F.linear, 0): lambda tangent, weight, bias=None: F.linear(tangent, weight),
    (Tensor.add, 0): lambda tangent, _: tangent,
    (Tensor.add, 1): lambda _, tangent: tangent,
    (Tensor.sub, 0): lambda tangent, _: tangent,
    (Tensor.sub, 1): lambda _, tangent: -tangent,
    (Tensor.mul, 0): torch.mul,
    (Tensor.mul, 1): torch.mul,
    (Tensor.div, 0): torch.div,
}
"""The tangent of an operation that is linear in the one of its arguments that has a tangent, at this place."""
_LINEAR = {func for func, _ in _RULES}


class _OneTangent(TorchFunctionMode):
    """Carry a tangent past what has none: the weights of a linear layer, the other term, the other factor. Left to
    itself, torch takes missing tangents for tensors of zeros, and adds those in Python: most of the time of a small
    network.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in _LINEAR or kwargs:
            return func(*args, **(kwargs or {}))
        parts = [forward_ad.unpack_dual(arg) if isinstance(arg, Tensor) else (arg, None) for arg in args]
        values, tangents = zip(*parts, strict=True)
        moving = [place for place, tangent in enumerate(tangents) if tangent is not None]
        rule = _RULES.get((func, moving[0])) if len(moving) == 1 else None
        if rule is None:
            return func(*args)
        result = func(*values)
        tangent = rule(*values[: moving[0]], tangents[moving[0]], *values[moving[0] + 1 :])
        return forward_ad.make_dual(result, tangent.to(result.dtype).expand_as(result))


@contextmanager
def _slow_path() -> Iterator[None]:
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
