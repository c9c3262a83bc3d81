"""Ground costs between points: all pairs at once, or row against row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.tensors import check_same_event

__all__ = ["Cost", "PNorm", "SquaredEuclidean"]


class Cost(ABC):
    """The cost `c(x, y)` of moving one point onto another.

    Events of any shape are flattened; both methods are differentiable.
    """

    @abstractmethod
    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `c(x_i, y_j)`: `(n, m)`, of `x: (n, *event)` and `y: (m, *event)`. Raises `InputError` if unlike."""

    @abstractmethod
    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `c(x_i, y_i)`, `(n,)`, for `x, y: (n, *event)`. Raises `InputError` for unlike inputs."""


@dataclass(frozen=True)
class SquaredEuclidean(Cost):
    """`c(x, y) = |x - y|^2`, without 1/2.

    `pairwise` expands the square into one matrix product of the centred points. Its rounding error is about the
    machine epsilon times the squared spread of the points (not their distance from the origin); `aligned` subtracts
    first and has no such error.

    >>> SquaredEuclidean().pairwise(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0]]))
    tensor([[4.],
            [1.]])
    """

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_j|^2`: `(n, m)`, never negative."""
        x, y = _flat(x, y)
        centre = ((x.mean(0) + y.mean(0)) / 2).detach()
        x, y = x - centre, y - centre
        squares = torch.addmm(y.square().sum(1), x, y.T, alpha=-2)
        return (squares + x.square().sum(1, keepdim=True)).clamp(min=0)

    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_i|^2`: `(n,)`."""
        x, y = _flat(x, y)
        return (x - y).square().sum(1)


@dataclass(frozen=True)
class PNorm(Cost):
    """`c(x, y) = |x - y|_p ^ power`: `PNorm(2)` is the Euclidean distance, `PNorm(1)` the city-block distance.

    >>> PNorm(1).aligned(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([7.])
    """

    p: float = 2.0
    power: float = 1.0

    def __post_init__(self) -> None:
        if not self.p >= 1:
            raise InputError(f"PNorm needs p of at least 1 (infinity allowed), got {self.p}")
        if not 0 < self.power < float("inf"):
            raise InputError(f"PNorm needs a positive finite power, got {self.power}")

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_j|_p ^ power`: `(n, m)`."""
        x, y = _flat(x, y)
        distance = torch.cdist(x, y, p=self.p, compute_mode="donot_use_mm_for_euclid_dist")
        return distance if self.power == 1 else distance.pow(self.power)

    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_i|_p ^ power`: `(n,)`."""
        x, y = _flat(x, y)
        distance = torch.linalg.vector_norm(x - y, ord=self.p, dim=1)
        return distance if self.power == 1 else distance.pow(self.power)


def _flat(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Flatten the events of both, after checking that they can be compared."""
    check_same_event("x", x.shape[1:], "y", y.shape[1:])
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} but y is {y.dtype} on {y.device}: both must agree")
    return x.reshape(x.shape[0], -1), y.reshape(y.shape[0], -1)
