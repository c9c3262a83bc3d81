"""What a metric is: a number for how far one sample is from another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference

__all__ = ["Metric"]


class Metric(ABC):
    """A distance between two samples, `metric(x, y, generator=...) -> float`; the smaller the closer."""

    name: ClassVar[str]
    """What tables and curves call it."""

    references: ClassVar[tuple[Reference, ...]] = ()

    @abstractmethod
    def __call__(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> float:
        """Compare `x: (n, *event)` with the reference `y: (m, *event)`. Raises `InputError` unless their events and
        dtypes agree.
        """
