"""How far two conditions are apart, and which rows share one."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.conditions import Condition, absent
from pushforward.errors import InputError

__all__ = ["blocks", "mismatch"]


def mismatch(condition: Condition, dtype: torch.dtype) -> Tensor:
    """Return how much the conditions of every two rows differ, summed over the names: `(m, m)`.

    Categories differ by 0 or 1, continuous covariates by their squared distance; a covariate that only one row has
    counts 1.
    """
    parts = [_squares(c, dtype) if c.is_floating_point() else _differ(c, dtype) for c in condition.values()]
    return torch.stack(parts).sum(0)


def _differ(codes: Tensor, dtype: torch.dtype) -> Tensor:
    return (codes[:, None] != codes).to(dtype)


def _squares(values: Tensor, dtype: torch.dtype) -> Tensor:
    missing = absent(values)
    values = values.reshape(values.shape[0], -1).to(dtype).masked_fill(missing[:, None], 0)
    squares = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist").square()
    either, unlike = missing[:, None] | missing, missing[:, None] != missing
    return torch.where(either, unlike.to(dtype), squares)


def blocks(condition: Condition) -> list[Tensor]:
    """Return the row numbers that share all categories, one tensor for each combination (absent is one more category).

    Raises `InputError` for a continuous covariate, which no two rows share.
    """
    for name, column in condition.items():
        if column.is_floating_point():
            raise InputError(
                f"condition_weight=inf pairs within categories, but {name!r} is continuous: use a finite weight"
            )
    codes = torch.stack(list(condition.values()), 1)
    _, label = codes.unique(dim=0, return_inverse=True)
    order = label.argsort(stable=True)
    return list(order.split(label.bincount().tolist()))
