"""What every coupling does with rows: check them, bring the source to the target's size, carry conditions along."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.tensors import check_same_event

__all__ = ["balanced_rows", "carry", "check_rows"]


def check_rows(x0: Tensor, x1: Tensor, condition: Condition | None) -> None:
    """Raise `InputError` unless both sides have rows of the same shape and every condition has the rows of `x1`.

    Only shapes are looked at, so that nothing waits for an accelerator.
    """
    for name, x in (("x0", x0), ("x1", x1)):
        if x.ndim < 2 or x.shape[0] == 0:
            raise InputError(f"{name} has shape {tuple(x.shape)}, wanted (rows, *event) with at least one row")
    check_same_event("x0", x0.shape[1:], "x1", x1.shape[1:])
    for name, column in (condition or {}).items():
        if column.shape[0] != x1.shape[0]:
            raise InputError(
                f"condition {name!r} has {column.shape[0]} rows, wanted {x1.shape[0]}: one for every row of x1"
            )


def balanced_rows(n: int, m: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Return `m` of `n` row numbers in random order, each used as often as any other, give or take one: `(m,)`.

    Fewer rows than needed are cycled, more are thinned; either way each of the `m` is uniform on the `n`.

    >>> balanced_rows(2, 4).sort().values
    tensor([0, 0, 1, 1])
    """
    device = "cpu" if generator is None else generator.device
    epochs = [torch.randperm(n, generator=generator, device=device) for _ in range(-(-m // n))]
    return torch.cat(epochs)[:m]


def carry(
    x0: Tensor, rows: Tensor | None, x1: Tensor, condition: Condition | None, *, gaussian_source: bool = False
) -> Pairs:
    """Pair source row `rows[k]` with target row `k` (row `k` itself for `None`).

    Targets and their conditions stay where they are.
    """
    return Pairs(x0 if rows is None else x0[rows.to(x0.device)], x1, condition, gaussian_source=gaussian_source)
