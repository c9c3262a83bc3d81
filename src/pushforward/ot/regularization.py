"""What is added to the transport cost, and in which unit its strength is measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pushforward.errors import InputError

__all__ = ["KSparse", "Quadratic", "Regularization", "Relative"]


@dataclass(frozen=True)
class Relative:
    """An epsilon that is `factor` times the `mean`, `max` or standard deviation (`std`) of the cost matrix.

    It is resolved once, when the problem is posed; the plan knows the absolute number.
    """

    factor: float
    of: Literal["mean", "max", "std"] = "mean"

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise InputError(f"Relative needs a positive finite factor, got {self.factor}")
        if self.of not in ("mean", "max", "std"):
            raise InputError(f"Relative is of 'mean', 'max' or 'std', got {self.of!r}")


@dataclass(frozen=True)
class Quadratic:
    """The penalty `gamma / 2 sum_ij P_ij^2`: sparse plans that change smoothly with the cost.

    `gamma` is in units of cost over mass: `mean cost times number of points` is a start. Source: Blondel et al.,
    *Smooth and sparse optimal transport* (2018).
    """

    gamma: float

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise InputError(f"the penalty gamma must be positive and finite, got {self.gamma}")


@dataclass(frozen=True)
class KSparse:
    """The quadratic penalty, and at most `k` sources for each target. Source: Liu et al., *Sparsity-constrained
    optimal transport* (2023).
    """

    k: int
    gamma: float
    dual: Literal["semi", "full"] = "semi"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k must be at least 1, got {self.k}")
        if not 0 < self.gamma < math.inf:
            raise InputError(f"the penalty gamma must be positive and finite, got {self.gamma}")
        if self.dual not in ("semi", "full"):
            raise InputError(f"dual is 'semi' or 'full', got {self.dual!r}")


Regularization: TypeAlias = Quadratic | KSparse
