"""Conjugate gradients for symmetric positive semi-definite systems given by their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Solved", "conjugate_gradients"]


@dataclass(frozen=True)
class Solved:
    """A solution `x: (..., m)`, the iterations made, and the largest residual, relative to the right-hand side."""

    x: Tensor
    iterations: int
    residual: float


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], rhs: Tensor, diagonal: Tensor, *, tolerance: float, max_iterations: int
) -> Solved:
    """Solve `A x = rhs` for `rhs: (..., m)`, given `product(v) = A v`; a positive `diagonal` preconditions (Jacobi).

    Residuals are measured in the norm of the inverse diagonal. A may be singular where the right-hand side is
    orthogonal to its kernel. Leading axes are independent systems.
    """
    x, residual = torch.zeros_like(rhs), rhs
    direction = residual / diagonal
    square = start = _dot(residual, direction)
    iterations = 0
    while iterations < max_iterations and bool((open_ := square > tolerance**2 * start).any()):
        image = product(direction)
        step = torch.where(open_, square / _dot(direction, image), 0)
        x, residual = x + step * direction, residual - step * image
        scaled = residual / diagonal
        last, square = square, _dot(residual, scaled)
        direction = scaled + torch.where(open_, square / last, 0) * direction
        iterations += 1
    relative = torch.where(start > 0, square / start, 0)
    return Solved(x, iterations, float(relative.max().sqrt()))


def _dot(u: Tensor, v: Tensor) -> Tensor:
    return (u * v).sum(-1, keepdim=True)
