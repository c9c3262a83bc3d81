"""Conjugate gradients for symmetric positive semi-definite systems given by their products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

__all__ = ["Preconditioner", "Solved", "conjugate_gradients"]

Preconditioner: TypeAlias = Tensor | Callable[[Tensor], Tensor]
"""A positive diagonal to divide by, or the product with an approximate inverse, symmetric and positive."""


@dataclass(frozen=True)
class Solved:
    """A solution `x: (..., m)`, the iterations made, and the largest residual, relative to the right-hand side."""

    x: Tensor
    iterations: int
    residual: float


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    rhs: Tensor,
    preconditioner: Preconditioner,
    *,
    tolerance: float,
    max_iterations: int,
) -> Solved:
    """Solve `A x = rhs` for `rhs: (..., m)`, given `product(v) = A v`.

    Residuals are measured in the norm of the preconditioner. A may be singular where the right-hand side is orthogonal
    to its kernel; a system whose direction has no curvature, by rounding, ends there. Leading axes are independent
    systems.
    """
    precondition = preconditioner if callable(preconditioner) else lambda v: v / preconditioner
    x, residual = torch.zeros_like(rhs), rhs
    direction = precondition(residual)
    square = start = _dot(residual, direction)
    goal, nought, open_, iterations = tolerance**2 * start, torch.zeros_like(start), start > 0, 0
    while iterations < max_iterations and bool((open_ := open_ & (square > goal)).any()):
        image = product(direction)
        curvature = _dot(direction, image)
        open_ = open_ & (curvature > 0)
        step = torch.where(open_, square / curvature, nought)
        x, residual = x.addcmul(step, direction), residual.addcmul(step, image, value=-1)
        scaled = precondition(residual)
        last, square = square, _dot(residual, scaled)
        direction = scaled.addcmul(torch.where(open_, square / last, nought), direction)
        iterations += 1
    relative = torch.where(start > 0, square / start, nought)
    return Solved(x, iterations, float(relative.max().sqrt()))


def _dot(u: Tensor, v: Tensor) -> Tensor:
    return torch.linalg.vecdot(u, v).unsqueeze(-1)
