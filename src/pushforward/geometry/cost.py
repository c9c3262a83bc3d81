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

    Points are vectors, `(..., n, d)`; leading axes count independent clouds. Both methods are differentiable.
    """

    @abstractmethod
    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `c(x_i, y_j)`, `(..., n, m)`, of `x: (..., n, d)`, `y: (..., m, d)`. Raises `InputError` if unlike."""

    @abstractmethod
    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `c(x_i, y_i)`, `(..., n)`, for `x, y: (..., n, d)`. Raises `InputError` for unlike inputs."""


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
        """Return `|x_i - y_j|^2`: `(..., n, m)`, never negative."""
        _check(x, y)
        centre = ((x.mean(-2, keepdim=True) + y.mean(-2, keepdim=True)) / 2).detach()
        x, y = x - centre, y - centre
        # |x|^2 - 2 x.y rides on the matrix product as one more coordinate: fewer passes over the result
        left = torch.cat([x, x.square().sum(-1, keepdim=True)], -1)
        right = torch.cat([-2 * y, torch.ones_like(y[..., :1])], -1)
        squares = y.square().sum(-1).unsqueeze(-2)
        return (torch.addmm(squares, left, right.T) if x.ndim == 2 else left @ right.mT + squares).clamp_(min=0)

    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_i|^2`: `(..., n)`."""
        _check(x, y)
        return (x - y).square().sum(-1)


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
        """Return `|x_i - y_j|_p ^ power`: `(..., n, m)`."""
        _check(x, y)
        distance = torch.cdist(x, y, p=self.p, compute_mode="donot_use_mm_for_euclid_dist")
        return distance if self.power == 1 else distance.pow(self.power)

    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `|x_i - y_i|_p ^ power`: `(..., n)`."""
        _check(x, y)
        distance = torch.linalg.vector_norm(x - y, ord=self.p, dim=-1)
        return distance if self.power == 1 else distance.pow(self.power)


def _check(x: Tensor, y: Tensor) -> None:
    """Refuse points that cannot be compared."""
    check_same_event("x", x.shape[-1:], "y", y.shape[-1:])
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} but y is {y.dtype} on {y.device}: both must agree")
