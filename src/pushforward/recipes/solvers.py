"""Every solver on closed forms: error against evaluations, orders, and the law that stochastic ones reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.measures import AffineOracle, Gaussian
from pushforward.paths import VP, CondOT
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.recipes.flows import line_of_three
from pushforward.solvers import SDE, DormandPrince, FixedStep, NoiseLevels, Solver
from pushforward.solvers.solver import FixedMethod, StochasticMethod

__all__ = ["SolverOrders", "SolverTable", "StochasticSolvers"]

STEPS: dict[FixedMethod, Callable[[int], int]] = {
    "euler": lambda n: n, "ddim": lambda n: n, "dpm++2m": lambda n: n, "ab2": lambda n: n - 1,
    "pseudo-corrector": lambda n: n - 1, "midpoint": lambda n: n // 2, "heun": lambda n: n // 2,
    "rk4": lambda n: n // 4,
}  # fmt: skip
"""How many steps each method takes in n evaluations."""
ORDERS = dict.fromkeys(STEPS, 2) | {"euler": 1, "ddim": 1, "rk4": 4}
VARIANCE_PRESERVING: tuple[FixedMethod, ...] = ("euler", "ab2", "ddim", "dpm++2m")
METHODS: tuple[StochasticMethod, ...] = ("euler-maruyama", "stochastic-heun")


@dataclass(frozen=True)
class SolverTable(Experiment):
    """Follow the exact flow from noise to three Gaussians on the line by every solver, at equal numbers of evaluations.

    Figures: `METHOD@N`, root mean square distance of the end points of `rows` points from the exact ones after N
        evaluations, on straight paths; `dopri5` and `dopri5 evaluations` of the adaptive solver at the tolerance 1e-4;
        `vp METHOD@N` on the variance-preserving path, of the exponential integrators and of Euler's and Adams' methods,
        with the nodes at EDM's noise levels.
    """

    rows: int = 4000
    counts: tuple[int, ...] = (4, 8, 16, 32, 64, 128)

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Nothing is trained."""
        x = torch.randn(self.rows, 1, generator=seeded(seed, "rows")).double()
        straight, exact = line_of_three(), line_of_three().flow_map(x, 0.0, 1.0)
        figures = {}
        for count in self.counts:
            for method, steps in STEPS.items():
                figures[f"{method}@{count}"] = _off(FixedStep(method, steps(count)), straight, x, exact)
        adaptive = DormandPrince(1e-4, "batch").solve(straight, x)
        figures |= {"dopri5": root_mean_square(adaptive.x, exact), "dopri5 evaluations": float(adaptive.evaluations)}
        return figures | self._variance_preserving(x)

    def _variance_preserving(self, x: Tensor) -> Figures:
        schedule = VP()
        oracle = line_of_three(schedule)
        exact = oracle.flow_map(x, 0.0, 1.0)
        figures = {}
        for count in self.counts[:4]:
            for method in VARIANCE_PRESERVING:
                solver = FixedStep(method, STEPS[method](count), NoiseLevels(sigma_min=0.02, schedule=schedule))
                figures[f"vp {method}@{count}"] = _off(solver, oracle, x, exact)
        return figures

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["FixedStep", "DormandPrince", "Exponential", "ExponentialMultistep", "PseudoCorrector", "NoiseLevels"]


def _off(solver: Solver, oracle: AffineOracle, x: Tensor, exact: Tensor) -> float:
    return root_mean_square(solver.solve(oracle, x).x, exact)


@dataclass(frozen=True)
class SolverOrders(Experiment):
    """The orders of all methods of fixed steps on the flow to three Gaussians on the line, from t = 0 to 0.8, where it
    is smooth, and back.

    Figures: `METHOD` and `METHOD back`, the slope of the logarithm of the error from 64 to 128 steps (from 32 to 64 for
        `rk4`, before rounding); `gap`, the largest distance of those forwards from the nominal orders; `ddim is euler`,
        the largest difference of the two.
    """

    rows: int = 500

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Nothing is trained."""
        oracle, x = line_of_three(), torch.randn(self.rows, 1, generator=seeded(seed, "rows")).double()
        y, figures = oracle.flow_map(x, 0.0, 0.8), {}
        for method in STEPS:
            coarse = 32 if method == "rk4" else 64
            for name, start, end, begin, exact in ((method, 0.0, 0.8, x, y), (f"{method} back", 0.8, 0.0, y, x)):
                errors = [
                    root_mean_square(FixedStep(method, n).solve(oracle, begin, start=start, end=end).x, exact)
                    for n in (coarse, 2 * coarse)
                ]
                figures[name] = math.log2(errors[0] / errors[1])
        same = [FixedStep(method, 8).solve(oracle, x).x for method in ("euler", "ddim")]
        return figures | {
            "gap": max(abs(figures[method] - order) for method, order in ORDERS.items()),
            "ddim is euler": float((same[0] - same[1]).abs().max()),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["FixedStep", "Exponential", "ExponentialMultistep", "PseudoCorrector"]


@dataclass(frozen=True)
class StochasticSolvers(Experiment):
    """The law that stochastic solvers reach with `eps^2 = 1 - t`, from N(0, 1) to N(2, 0.5^2).

    Figures: `METHOD@N`, how far the deviation of `rows` end points is from 0.5 after N steps.
    """

    rows: int = 100_000
    counts: tuple[int, ...] = (25, 50, 100)

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Nothing is trained."""
        oracle = AffineOracle(Gaussian([0.0]), Gaussian([2.0], [[0.25]]), CondOT())
        x = torch.randn(self.rows, 1, generator=seeded(seed, "rows"))
        figures = {}
        for method in METHODS:
            for count in self.counts:
                reached = SDE(method, count).solve(oracle, x, generator=seeded(seed, "noise", count)).x
                figures[f"{method}@{count}"] = abs(float(reached.std()) - 0.5)
        return figures

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["SDE", "Vanishing"]
