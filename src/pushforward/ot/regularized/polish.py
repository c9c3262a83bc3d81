"""Newton's method on the support that was found: the last digits of a smooth dual."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.ot.entropic.conjugate_gradients import conjugate_gradients
from pushforward.ot.regularized.dual import Point, SemiDual

__all__ = ["polish"]

STEPS = 20

RIDGE = 1e-9
"""Share of the Laplacian's diagonal that is added to it: its kernel cannot run away with rounding errors."""


def polish(dual: SemiDual, point: Point, gamma: float, tolerance: float) -> tuple[Point, int]:
    """Take Newton steps from `point` while they halve the error of the plan's sums; return the last and their number.

    Climbing ends where the rounding of the dual's value hides further gains, at the square root of the precision. The
    dual is quadratic as long as no entry enters or leaves the plan, so that a step or two reach the full precision.
    """
    for count in range(STEPS):
        error = float(point.gradient.abs().sum())
        if error <= tolerance:
            return point, count
        new = dual(_step(point, gamma))
        if not float(new.gradient.abs().sum()) < error / 2:
            return point, count
        point = new
    return point, STEPS


def _step(point: Point, gamma: float) -> Tensor:
    """Solve `Hessian step = -gradient` on the support S and return the new potential.

    The Hessian `-1/gamma [diag(S 1) - S diag(S^T 1)^-1 S^T]` is the Laplacian of a graph: columns answer every step so
    that their sums remain.
    """
    n, support = len(point.f), (point.mass > 0).to(point.mass)
    columns = support.sum(1).clamp(min=1)
    to_rows = lambda v: torch.zeros_like(point.f).index_add_(0, point.index.flatten(), v.flatten())  # noqa: E731
    degree = to_rows(support).clamp(min=1) * (1 + RIDGE)

    def laplacian(step: Tensor) -> Tensor:
        answer = (support * step[point.index]).sum(1) / columns
        return degree * step - to_rows(support * answer[:, None])

    return (
        point.f + conjugate_gradients(laplacian, gamma * point.gradient, degree, tolerance=1e-6, max_iterations=4 * n).x
    )
