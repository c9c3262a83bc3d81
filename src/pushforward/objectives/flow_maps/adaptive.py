"""Weights by the error itself, so that rows with large errors do not drown the rest."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pushforward.errors import InputError

__all__ = ["Adaptive"]


@dataclass(frozen=True)
class Adaptive:
    """`1 / (|error|^2 + epsilon)^power`, the squared error summed over the entries of a row and without gradient.

    Power 0 is the plain squared error; with power 1/2 its gradient is that of a pseudo-Huber norm, with 1 that of a
    logarithm. With a power above zero the minimiser is a mean that is weighted by the weight itself, not quite the
    velocity where its law is skewed.
    """

    power: float = 1.0
    epsilon: float = 0.01

    def __post_init__(self) -> None:
        if self.power < 0 or not self.epsilon > 0:
            raise InputError(f"Adaptive needs power of at least 0 and a positive epsilon, got {self}")

    def __call__(self, error: Tensor, entries: int) -> Tensor | None:
        """Return the weights `(B,)` of rows whose squared error is `error: (B,)` on average over `entries`; `None` says
        one everywhere.
        """
        return None if self.power == 0 else (entries * error.detach() + self.epsilon).pow(-self.power)
