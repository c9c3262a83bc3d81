"""Climbing a concave dual by L-BFGS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.ot.regularized.dual import Dual, Point

if TYPE_CHECKING:
    from scipy.optimize import OptimizeResult

__all__ = ["climb"]

HISTORY = 10


@dataclass
class _Climb:
    """SciPy's view of a dual: something to minimise, in units of the cost's spread so that steps are about one."""

    dual: Dual
    like: Tensor
    unit: float
    lacking: float = float("inf")

    def __call__(self, steps: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        point = self.at(steps)
        self.lacking = float(point.gradient.abs().sum())
        return -float(point.value) / self.unit, -point.gradient.cpu().numpy()

    def at(self, steps: NDArray[np.float64]) -> Point:
        """Evaluate the dual where SciPy stands."""
        return self.dual(torch.from_numpy(steps).to(self.like) * self.unit)


def climb(
    dual: Dual, start: Tensor, unit: float, *, tolerance: float, max_iterations: int, flat: float = 0.0
) -> tuple[Point, int]:
    """Maximise `dual` from `start: (size,)` and return where that ended and the number of iterations.

    Ends when the gradient's L1 norm, which is the error of the plan's sums, is at most `tolerance`; when a step gains
    less than `flat` in `unit` (at a kink the gradient never vanishes); at rounding; or after `max_iterations`.
    """
    from scipy.optimize import minimize  # slow to import

    function = _Climb(dual, start, unit)

    def reached(intermediate_result: OptimizeResult) -> None:
        if function.lacking <= tolerance:
            raise StopIteration

    found = minimize(
        function, start.cpu().numpy() / unit, jac=True, method="L-BFGS-B", callback=reached,
        options={"maxcor": HISTORY, "maxiter": max_iterations, "maxfun": 10 * max_iterations, "ftol": flat, "gtol": 0},
    )  # fmt: skip
    return function.at(found.x), int(found.nit)
