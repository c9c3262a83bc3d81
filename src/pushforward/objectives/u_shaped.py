"""Times that favour both ends, where the pairs of a trained flow are hard to learn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Times
from pushforward.errors import InputError
from pushforward.objectives.draws import Draws
from pushforward.objectives.time import TimeLaw

__all__ = ["UShaped"]


@dataclass(frozen=True)
class UShaped(TimeLaw):
    """Density `exp(a t) + exp(a (1 - t))`, up to a constant: `t = 1/2 + arsinh((2 u - 1) sinh(a / 2)) / a`, u uniform.

    For trainings on the pairs of a trained flow, whose velocity is hard to learn near both ends and nearly constant
    between.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "lee2024improving",
            "Improving the Training of Rectified Flows",
            "Lee, Sangyun and Lin, Zinan and Fanti, Giulia",
            2024,
            arxiv="2405.20320",
            venue="Advances in Neural Information Processing Systems",
        ),
    )
    a: float = 4.0

    def __post_init__(self) -> None:
        if not self.a > 0:
            raise InputError(f"a must be positive, got {self.a}")

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""
        return self._at(torch.asinh((2 * draws.stratified() - 1) * math.sinh(self.a / 2)) / self.a + 0.5)

    def log_prob(self, t: Tensor) -> Tensor:
        """`log(a cosh(a (t - 1/2)) / (2 sinh(a / 2)))`."""
        return torch.cosh(self.a * (t - 0.5)).log() + math.log(self.a / (2 * math.sinh(self.a / 2)))
