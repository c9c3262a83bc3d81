"""Errors of images band by band."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.objectives.distance import Distance

__all__ = ["Wavelet"]


@dataclass(frozen=True)
class Wavelet(Distance):
    """The squared error of Haar wavelet coefficients, each level of detail with its own weight: `weights` are those of
    the details from the finest to the coarsest level, as many levels as weights; what remains counts once.

    The transform is orthonormal: with all weights 1 this is the squared error. It runs along every axis but the first
    of an event `(C, *sides)` with two sides or more; sides are halved as long as they are even. Vectors and sequences
    have no bands, and their error is the plain square. The prices lie in the order of the coefficients, and only their
    mean over an event means something.

    Raises `InputError` for weights that are not positive.
    """

    weights: tuple[float, ...] = (4.0, 2.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))
        if not all(0 < weight < math.inf for weight in self.weights):
            raise InputError(f"Wavelet needs positive weights, got {self.weights}")

    def __call__(self, difference: Tensor) -> Tensor:
        """Return the prices."""
        return _prices(difference, self.weights if difference.ndim > 3 else ())


def _prices(x: Tensor, weights: tuple[float, ...]) -> Tensor:
    if not weights or any(side % 2 for side in x.shape[2:]):
        return x.square()
    for axis in range(2, x.ndim):
        even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
        x = torch.cat([even + odd, even - odd], axis) / math.sqrt(2)
    corner = (..., *(slice(side // 2) for side in x.shape[2:]))
    prices = weights[0] * x.square()
    prices[corner] = _prices(x[corner], weights[1:])
    return prices
