"""Small helpers on tensors that every room uses: broadcasting times, checking inputs at the boundary."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["as_samples", "bcast", "check_finite", "check_same_event", "flat_mean", "softmax"]


def bcast(t: Tensor, x: Tensor) -> Tensor:
    """Reshape `t: (B,)` to `(B, 1, ..., 1)` so that it multiplies `x: (B, *event)` row by row.

    >>> bcast(torch.ones(3), torch.zeros(3, 2, 5)).shape
    torch.Size([3, 1, 1])
    """
    return t.reshape(t.shape[0], *([1] * (x.ndim - 1)))


def flat_mean(x: Tensor) -> Tensor:
    """Mean over everything but the batch: `(B, *event) -> (B,)`."""
    return x.flatten(1).mean(1)


def softmax(x: Tensor, dim: int) -> Tensor:
    """Softmax by its formula: the framework's own has a derivative in forward mode that cannot be differentiated again.

    >>> softmax(torch.tensor([0.0, 0.0]), 0)
    tensor([0.5000, 0.5000])
    """
    weights = (x - x.detach().amax(dim, keepdim=True)).exp()
    return weights / weights.sum(dim, keepdim=True)


def check_finite(name: str, x: Tensor) -> None:
    """Raise `InputError` if `x: (B, ...)` has a NaN or an infinity, naming how many and the first row."""
    if not x.is_floating_point() or math.isfinite(x.detach().sum()):  # one pass; a finite sum has finite terms
        return
    bad = ~torch.isfinite(x)
    if bad.any():
        row = int(bad.reshape(x.shape[0], -1).any(1).nonzero()[0])
        count = int(bad.sum())
        raise InputError(f"{name} has {count} non-finite value{'s' * (count > 1)}, first at row {row}")


def check_same_event(
    name0: str, shape0: torch.Size | tuple[int, ...], name1: str, shape1: torch.Size | tuple[int, ...]
) -> None:
    """Raise `InputError` unless the two event shapes (shapes without the batch) agree."""
    if tuple(shape0) != tuple(shape1):
        raise InputError(
            f"{name0} has rows of shape {tuple(shape0)} but {name1} has rows of shape {tuple(shape1)}: both must agree"
        )


def as_samples(name: str, x: Tensor | np.ndarray | list) -> Tensor:
    """Check samples at the boundary and return them as a floating tensor `(n, *event)`.

    Floating tensors keep their dtype and device; integers and float16 arrays become float32; one-dimensional input
    becomes a column. Raises `InputError` for an empty, scalar, non-numeric or non-finite input.
    """
    if not isinstance(x, Tensor):
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"{name} must be numbers, got an array of dtype {array.dtype}")
        x = torch.from_numpy(np.ascontiguousarray(array))
    if x.ndim == 0 or x.numel() == 0:
        raise InputError(f"{name} is empty: its shape is {tuple(x.shape)}, wanted (rows, ...) with at least one row")
    if not x.is_floating_point():
        x = x.to(torch.get_default_dtype())
    x = x[:, None] if x.ndim == 1 else x
    check_finite(name, x)
    return x
