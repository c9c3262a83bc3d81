"""Autograd through a computation that is made anew in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["recomputed"]

T = TypeVar("T")


def recomputed(function: Callable[[], T]) -> T:
    """Return `function()`, of which autograd keeps nothing: what its backward pass needs is computed once more then.

    The function must do the same again, on tensors that have not changed since. It does what
    `torch.utils.checkpoint` does, of which the first call imports the compiler: seconds, and 100 MB.
    """
    saved: dict[int, Tensor] = {}
    place = count()

    def recall(index: int) -> Tensor:
        if index not in saved:
            again = count()
            with torch.enable_grad(), saved_tensors_hooks(lambda t: saved.update({next(again): t.detach()}), _never):
                function()
        return saved.pop(index)

    with saved_tensors_hooks(lambda _: next(place), recall):
        return function()


def _never(_: None) -> Tensor:
    raise AssertionError("the recomputation itself is never differentiated")
