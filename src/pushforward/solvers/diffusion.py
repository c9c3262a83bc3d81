"""How much noise a stochastic solver adds at each time: any rule keeps the marginals, given the exact velocity and
score.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from pushforward.errors import InputError

__all__ = ["Bump", "Constant", "Diffusion", "Proportional", "Vanishing"]


@dataclass(frozen=True)
class Diffusion(ABC):
    """The rule `eps(t)` of `dx = [v + (eps^2 / 2) score] dt + eps dW`. `level` scales `eps^2`; at level 0 the solver is
    an ODE solver.
    """

    level: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.level) and self.level >= 0):
            raise InputError(f"level must be finite and not negative, got {self.level}")

    def __call__(self, t: float) -> float:
        """Return `eps(t)`."""
        return math.sqrt(max(self.level * self.shape(t), 0.0))

    @abstractmethod
    def shape(self, t: float) -> float:
        """Return `eps(t)^2 / level`."""


@dataclass(frozen=True)
class Vanishing(Diffusion):
    """`eps^2 = level (1 - t)`: the drift stays finite at t = 1, where the score of a linear path grows as `1 / (1 -
    t)`.

    >>> Vanishing(4.0)(0.75)
    1.0
    """

    def shape(self, t: float) -> float:
        """Return `1 - t`."""
        return 1 - t


@dataclass(frozen=True)
class Constant(Diffusion):
    """`eps^2 = level`. The score must be known up to the last but one node."""

    def shape(self, t: float) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Proportional(Diffusion):
    """`eps^2 = level (1 - t)^2`: noise in proportion to what is left of the source on a linear path."""

    def shape(self, t: float) -> float:
        """Return `(1 - t)^2`."""
        return (1 - t) ** 2


@dataclass(frozen=True)
class Bump(Diffusion):
    """`eps^2 = 4 level t (1 - t)`: no noise at either end, for paths whose score is unusable at both."""

    def shape(self, t: float) -> float:
        """Return `4 t (1 - t)`."""
        return 4 * t * (1 - t)
