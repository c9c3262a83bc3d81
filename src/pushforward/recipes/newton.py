"""How many steps an entropic plan takes: sparse Newton steps against Sinkhorn's sweeps."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.measures import as_measure
from pushforward.ot import EntropicPlan, solve
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures

__all__ = ["NewtonAgainstSinkhorn"]


@dataclass(frozen=True)
class NewtonAgainstSinkhorn(Experiment):
    """Solve one problem to `tolerance` by both methods, for several regularisations.

    `costs` is `random` (uniform in [0, 1], the paper's random assignment) or `digits` (squared distances between
    images of odd and even handwritten digits, divided by their largest).

    Figures, for each epsilon = 1/N: steps and seconds of `newton@N` and `sinkhorn@N` (over-relaxed, at most
    `max_sweeps`), the largest difference of their plans' entries in units of the masses (`difference@N`), and whether
    Sinkhorn met the tolerance at all (`sinkhorn converged@N`).
    """

    costs: Literal["random", "digits"] = "random"
    points: int = 200
    inverses: tuple[int, ...] = (50, 200, 500)
    tolerance: float = 1e-9
    max_sweeps: int = 10_000

    def run(self, seed: int) -> Figures:
        """Solve every problem twice."""
        cost, figures = self._matrix(seed), Figures()
        for inverse in self.inverses:
            newton, fast = self._solve(cost, 1 / inverse, "newton")
            sinkhorn, slow = self._solve(cost, 1 / inverse, "sinkhorn")
            difference = (newton.to_dense() - sinkhorn.to_dense()).abs().max() * self.points
            figures |= {
                f"newton@{inverse}": float(newton.iterations),
                f"sinkhorn@{inverse}": float(sinkhorn.iterations),
                f"newton seconds@{inverse}": fast,
                f"sinkhorn seconds@{inverse}": slow,
                f"newton error@{inverse}": newton.marginal_error,
                f"sinkhorn error@{inverse}": sinkhorn.marginal_error,
                f"difference@{inverse}": float(difference),
            }
        return figures

    def _solve(self, cost: Tensor, epsilon: float, method: Literal["newton", "sinkhorn"]) -> tuple[EntropicPlan, float]:
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the figures say so
            plan = solve(
                cost=cost, epsilon=epsilon, method=method, tolerance=self.tolerance, max_iterations=self.max_sweeps
            )
        assert isinstance(plan, EntropicPlan)
        return plan, time.perf_counter() - started

    def _matrix(self, seed: int) -> Tensor:
        if self.costs == "random":
            return torch.rand(self.points, self.points, generator=seeded(seed, "costs"), dtype=torch.float64)
        x, y = (
            as_measure(f"digits:label={label}").sample(self.points, generator=seeded(seed, label)).flatten(1).double()
            for label in ("3", "8")
        )
        cost = torch.cdist(x, y).square()
        return cost / cost.max()

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["solve(method='newton')", "solve(method='sinkhorn')"]
