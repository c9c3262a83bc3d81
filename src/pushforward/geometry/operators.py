"""Linear measurements of a point: what a degraded observation keeps of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["AveragePool", "Masking", "Operator"]


class Operator(ABC):
    """A linear map `A` from points `(B, *event)` to measurements, with its adjoint and its pseudo-inverse.

    `visible` is what a measurement keeps of a point: its projection `A^+ A x` onto the orthogonal complement of the
    kernel.
    """

    @abstractmethod
    def measure(self, x: Tensor) -> Tensor:
        """Return `A x`. Raises `InputError` for points that cannot be measured."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return `A^T y`: `<A x, y> = <x, A^T y>`."""

    @abstractmethod
    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """Return `A^+ y`, the smallest point that measures `y` best."""

    def visible(self, x: Tensor) -> Tensor:
        """Return `A^+ A x`, shaped like the points."""
        return self.pseudo_inverse(self.measure(x))


@dataclass(frozen=True)
class AveragePool(Operator):
    """Average blocks of `factor` entries along every spatial axis: the axis of vectors, all but the channels of others.

    The pseudo-inverse repeats each average over its block; the adjoint is that divided by the size of a block.

    >>> AveragePool(2).visible(torch.tensor([[1.0, 3.0, 5.0, 5.0]]))
    tensor([[2., 2., 5., 5.]])
    """

    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise InputError(f"AveragePool needs a factor of at least 1, got {self.factor}")

    def measure(self, x: Tensor) -> Tensor:
        """Return the averages, every spatial axis `factor` times shorter. Raises `InputError` where it does not divide
        them.
        """
        for axis in _spatial(x):
            if x.shape[axis] % self.factor:
                raise InputError(f"cannot average blocks of {self.factor} over an axis of {x.shape[axis]} entries")
            x = x.unflatten(axis, (-1, self.factor)).mean(axis + 1)
        return x

    def adjoint(self, y: Tensor) -> Tensor:
        """Return each number spread over its block."""
        return self.pseudo_inverse(y) / self.factor ** len(_spatial(y))

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """Return each number repeated over its block."""
        for axis in _spatial(y):
            y = y.repeat_interleave(self.factor, axis)
        return y


def _spatial(x: Tensor) -> range:
    return range(min(2, x.ndim - 1), x.ndim)


@dataclass(frozen=True, eq=False)
class Masking(Operator):
    """Keep the entries where `known` is true and replace the others by zero: a projection, its own adjoint and
    pseudo-inverse. `known` is one mask for all points, `event`, or one for each, `(B, *event)`.
    """

    known: Tensor

    def measure(self, x: Tensor) -> Tensor:
        """Return `x` with zeros where it is not known."""
        return torch.where(self.known, x, 0)

    def adjoint(self, y: Tensor) -> Tensor:
        """Return the same for `y`."""
        return self.measure(y)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """Return the same for `y`."""
        return self.measure(y)
