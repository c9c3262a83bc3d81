"""Newton's method on the support that was found: the last digits of a smooth dual."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.ot.entropic.conjugate_gradients import conjugate_gradients
from pushforward.ot.regularized.dual import Dual, Point

__all__ = ["polish"]

STEPS = 20

RIDGE = 1e-9
"""Share of the Laplacian's diagonal that is added to it: its kernel cannot run away with rounding errors."""


def polish(dual: Dual, point: Point, gamma: float, tolerance: float) -> tuple[Point, int]:
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
    """Solve `Hessian step = -gradient` on the support S and return the new variables.

    With the Hessian `-1/gamma [diag(S 1), S; S^T, diag(S^T 1)]`, g is eliminated, which leaves the Laplacian of a
    graph.
    """
    n, support = len(point.f), (point.mass > 0).to(point.mass)
    lacking, lacking_columns = point.gradient[:n], point.gradient[n:]
    columns = support.sum(1).clamp(min=1)
    to_rows = lambda v: torch.zeros_like(point.f).index_add_(0, point.index.flatten(), v.flatten())  # noqa: E731
    degree = to_rows(support).clamp(min=1) * (1 + RIDGE)

    def answer(step: Tensor) -> Tensor:
        return (support * step[point.index]).sum(1) / columns

    def laplacian(step: Tensor) -> Tensor:
        return degree * step - to_rows(support * answer(step)[:, None])

    shift = gamma * lacking_columns / columns if len(lacking_columns) else torch.zeros_like(point.g)
    right = gamma * lacking - to_rows(support * shift[:, None])
    step = conjugate_gradients(laplacian, right, degree, tolerance=1e-6, max_iterations=4 * n).x
    f, g = point.f + step, point.g + shift - answer(step)
    return torch.cat([f, g]) if len(lacking_columns) else f
