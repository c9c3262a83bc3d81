"""Which other row of a batch a row is held against."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["negatives"]


def negatives(n: int, labels: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw for each of `n` rows another one: uniform on the others, or on those of another label, `labels: (n,)`.

    Returns row numbers `(n,)`, on the device of the labels or of the generator. Where all rows share one label, labels
    are left out of account. Raises `InputError` for a single row, which has no other.

    >>> negatives(4, torch.tensor([0, 0, 1, 1])) // 2
    tensor([1, 1, 0, 0])
    """
    if n < 2:
        raise InputError(f"a batch of {n} has no other row: wanted at least two")
    device = labels.device if labels is not None else generator.device if generator is not None else "cpu"
    labels = torch.arange(n, device=device) if labels is None else labels
    _, block, size = labels.unique(return_inverse=True, return_counts=True)
    if len(size) == 1:
        return negatives(n, torch.arange(n, device=device), generator=generator)
    # sorted by label, the others of a row are the circular stretch from the end of its label's block to its beginning
    order, end = block.argsort(stable=True), size.cumsum(0)[block]
    u = torch.rand(n, generator=generator, dtype=torch.float64, device=device)
    return order[(end + (u * (n - size[block])).long()) % n]
