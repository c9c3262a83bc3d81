"""How far two sets of points are apart, row by row and as distributions, as figures of recipes."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.metrics import sliced_wasserstein2

__all__ = ["mean_square", "root_mean_square", "sliced"]


def mean_square(x: Tensor, y: Tensor) -> float:
    """Return the mean squared distance of the rows of `x` and `y: (n, *event)`."""
    return float((x - y).flatten(1).square().sum(1).mean())


def root_mean_square(x: Tensor, y: Tensor) -> float:
    """Return the root mean square distance of the rows of `x` and `y: (n, *event)`."""
    return math.sqrt(mean_square(x, y))


def sliced(x: Tensor, y: Tensor) -> float:
    """Return the sliced W2 of two sets of points, always along the same directions."""
    return float(sliced_wasserstein2(x, y, generator=torch.Generator().manual_seed(0)))
