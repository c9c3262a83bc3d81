"""Ground costs between points: all pairs at once, or row against row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.tensors import check_same_event

__all__ = ["ConvexCost", "Cost", "PNorm", "SquaredEuclidean"]


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


class ConvexCost(Cost):
    """A cost `c(x, y) = h(y - x)` of the displacement alone, with h strictly convex, even and differentiable.

    The conjugate `h*(p) = sup_z <z, p> - h(z)` is attained where `p = grad h(z)`, so that the gradients of h and h*
    are inverse to each other, and `h(z) + h*(p) >= <z, p>` with equality there alone (Fenchel and Young). A cost of
    your own needs `of`, `gradient` and `conjugate_gradient`. Displacements and momenta are vectors, `(..., d)`.
    """

    @abstractmethod
    def of(self, z: Tensor) -> Tensor:
        """Return `h(z)`: `(...)`."""

    @abstractmethod
    def gradient(self, z: Tensor) -> Tensor:
        """Return the momentum `grad h(z)`, like z."""

    @abstractmethod
    def conjugate_gradient(self, p: Tensor) -> Tensor:
        """Return the displacement `grad h*(p)` of which p is the momentum, like p."""

    def conjugate(self, p: Tensor) -> Tensor:
        """Return `h*(p)`: `(...)`."""
        z = self.conjugate_gradient(p)
        return (z * p).sum(-1) - self.of(z)

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `h(y_j - x_i)`: `(..., n, m)`."""
        _check(x, y)
        return self.of(y.unsqueeze(-3) - x.unsqueeze(-2))

    def aligned(self, x: Tensor, y: Tensor) -> Tensor:
        """Return `h(y_i - x_i)`: `(..., n)`."""
        _check(x, y)
        return self.of(y - x)


@dataclass(frozen=True)
class SquaredEuclidean(ConvexCost):
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
        squares = x.square().sum(-1).unsqueeze(-1) + y.square().sum(-1).unsqueeze(-2)
        # in place: fresh memory for a product would cost more than the product
        if squares.ndim == 2:
            return squares.addmm_(x, y.T, alpha=-2).clamp_(min=0)
        x, y = (points.expand(*squares.shape[:-2], -1, -1).flatten(0, -3) for points in (x, y))
        squares.flatten(0, -3).baddbmm_(x, y.mT, alpha=-2)
        return squares.clamp_(min=0)

    def of(self, z: Tensor) -> Tensor:
        """Return `|z|^2`."""
        return z.square().sum(-1)

    def gradient(self, z: Tensor) -> Tensor:
        """Return `2 z`."""
        return 2 * z

    def conjugate_gradient(self, p: Tensor) -> Tensor:
        """Return `p / 2`."""
        return p / 2

    def conjugate(self, p: Tensor) -> Tensor:
        """Return `|p|^2 / 4`."""
        return p.square().sum(-1) / 4


@dataclass(frozen=True)
class PNorm(ConvexCost):
    """`c(x, y) = |x - y|_p ^ power`: `PNorm(2)` is the Euclidean distance, `PNorm(1)` the city-block distance.

    With `1 < p < inf` and `r = power > 1` it is strictly convex: `h*(m) = (r - 1) (|m|_q / r)^(r / (r - 1))` with
    `1/p + 1/q = 1`; for others, asking for gradients raises `InputError`.

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

    def of(self, z: Tensor) -> Tensor:
        """Return `|z|_p ^ power`."""
        distance = torch.linalg.vector_norm(z, ord=self.p, dim=-1)
        return distance if self.power == 1 else distance.pow(self.power)

    def gradient(self, z: Tensor) -> Tensor:
        """Return `power |z|_p^(power - 1) grad |z|_p`, zero at zero."""
        self._check_strict()
        norm = torch.linalg.vector_norm(z, ord=self.p, dim=-1, keepdim=True)
        return self.power * norm.pow(self.power - 1) * _norm_gradient(z, norm, self.p)

    def conjugate_gradient(self, p: Tensor) -> Tensor:
        """Return `(|p|_q / power)^(1 / (power - 1)) grad |p|_q`, zero at zero."""
        self._check_strict()
        norm = torch.linalg.vector_norm(p, ord=self._dual, dim=-1, keepdim=True)
        return (norm / self.power).pow(1 / (self.power - 1)) * _norm_gradient(p, norm, self._dual)

    def conjugate(self, p: Tensor) -> Tensor:
        """Return `(power - 1) (|p|_q / power)^(power / (power - 1))`."""
        self._check_strict()
        norm = torch.linalg.vector_norm(p, ord=self._dual, dim=-1)
        return (self.power - 1) * (norm / self.power).pow(self.power / (self.power - 1))

    @property
    def _dual(self) -> float:
        return self.p / (self.p - 1)

    def _check_strict(self) -> None:
        if not (1 < self.p < float("inf") and self.power > 1):
            raise InputError(f"{self} is not strictly convex: p between 1 and infinity and a power above 1 are wanted")


def _norm_gradient(z: Tensor, norm: Tensor, p: float) -> Tensor:
    """Return the gradient of the p-norm, and zero at zero."""
    share = z / norm.clamp(min=torch.finfo(z.dtype).tiny)
    return share if p == 2 else share.sign() * share.abs().pow(p - 1)


def _check(x: Tensor, y: Tensor) -> None:
    """Refuse points that cannot be compared."""
    check_same_event("x", x.shape[-1:], "y", y.shape[-1:])
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} but y is {y.dtype} on {y.device}: both must agree")
