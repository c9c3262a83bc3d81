"""How far a prediction is from its target, entry by entry."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError

__all__ = ["Distance", "PseudoHuber", "SquaredError"]


class Distance(ABC):
    """The price of every entry of a difference, least at zero."""

    @abstractmethod
    def __call__(self, difference: Tensor) -> Tensor:
        """Return the prices, a tensor like `difference`."""


@dataclass(frozen=True)
class SquaredError(Distance):
    """`d^2`: the best prediction is the conditional mean."""

    def __call__(self, difference: Tensor) -> Tensor:
        """Return the squares."""
        return difference.square()


@dataclass(frozen=True)
class PseudoHuber(Distance):
    """`sqrt(d^2 + c^2) - c`: `d^2 / (2 c)` near zero and `|d|` far from it, so that single large errors do not rule.

    The best prediction lies near the conditional median of every entry, which is the mean where pairs are matched and
    their paths do not cross, and is another velocity elsewhere: for students that learn from pairs of their teacher.

    Raises `InputError` unless c is positive.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "wang2024rectified",
            "Rectified Diffusion: Straightness Is Not Your Need in Rectified Flow",
            "Wang, Fu-Yun and Yang, Ling and Huang, Zhaoyang and Wang, Mengdi and Li, Hongsheng",
            2024,
            arxiv="2410.07303",
        ),
    )
    c: float = 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.c < math.inf:
            raise InputError(f"PseudoHuber needs a positive c, got {self.c}")

    def __call__(self, difference: Tensor) -> Tensor:
        """Return the prices."""
        return (difference.square() + self.c**2).sqrt() - self.c
