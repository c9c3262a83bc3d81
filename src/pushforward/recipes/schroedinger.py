"""Schroedinger bridges by flow and score: the process, run from either end, beside its closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.contracts import VelocityField
from pushforward.measures import Gaussian, InterpolantOracle
from pushforward.metrics import entropic_cross_covariance
from pushforward.paths import BrownianBridge
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.recipes.interpolants import WithoutScore
from pushforward.solvers import SDE, Constant, FixedStep, Solver
from pushforward.training import fit_config

__all__ = ["GaussianSchroedingerBridge"]

SOURCE, TARGET = Gaussian([0.0], [[1.0]]), Gaussian([2.0], [[0.5]])
INSIDE = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class GaussianSchroedingerBridge(Experiment):
    """Fit velocity and score on Brownian bridges of diffusion `sigma` between entropic pairs of N(0, 1) and N(2, 1/2),
    run the process from either end, and compare with the bridge in closed form.

    Figures for the process `forwards` and `backwards`, for the flow of the velocity alone (`ODE`) and for noise without
        the score's correction (`no score`): the largest relative error of the variance at t = 1/4, 1/2, 3/4
        (`variance error, ODE`), and the error of the correlation between start and end (`correlation error, ODE`).
    """

    config: dict[str, Any]
    sigma: float = 1.0
    rows: int = 20_000
    steps: int = 100

    def run(self, seed: int) -> Figures:
        """Fit with this seed and run the process."""
        options = {"method": "entropic", "epsilon": 2 * self.sigma**2, "pool_rows": 0}
        plan = {"class_path": "MinibatchOT", "init_args": options}
        bridge = {"class_path": "BrownianBridge", "init_args": {"sigma": self.sigma}}
        sides = {"source": SOURCE, "target": TARGET, "normalise": "none", "seed": seed}
        model = fit_config(sides | {"coupling": plan, "path": bridge} | self.config).field
        noise, figures = SDE("stochastic-heun", self.steps, Constant(self.sigma**2)), {}
        runs: dict[str, Callable[[], Tensor]] = {
            "forwards": lambda: self._path(model, noise, seed),
            "backwards": lambda: self._path(model, noise, seed, backwards=True),
            "ODE": lambda: self._path(model, FixedStep("midpoint", self.steps), seed),
            "no score": lambda: self._path(WithoutScore(model), noise, seed),
        }
        for name, run in runs.items():
            figures |= self._errors(name, run())
        return figures

    @torch.no_grad()
    def _path(self, model: VelocityField, solver: Solver, seed: int, *, backwards: bool = False) -> Tensor:
        """Return the states at 0, 1/4, 1/2, 3/4 and 1: `(5, rows)`."""
        start = (TARGET if backwards else SOURCE).sample(self.rows, generator=seeded(seed, "start"))
        nodes = torch.linspace(1, 0, 5) if backwards else torch.linspace(0, 1, 5)
        first, last = float(nodes[0]), float(nodes[-1])
        found = solver.solve(model, start, start=first, end=last, nodes=nodes, generator=seeded(seed, "noise")).path
        assert found is not None
        return (found.flip(0) if backwards else found)[:, :, 0]

    def _errors(self, name: str, path: Tensor) -> Figures:
        cross = entropic_cross_covariance(SOURCE.covariance, TARGET.covariance, 2 * self.sigma**2)
        oracle = InterpolantOracle(SOURCE, TARGET, BrownianBridge(self.sigma).coefficients, cross)
        exact = oracle.moments(torch.tensor(INSIDE))[1][:, 0, 0]
        correlation = float(cross / (SOURCE.covariance * TARGET.covariance).sqrt())
        return {
            f"variance error, {name}": float((path[1:4].double().var(1) / exact - 1).abs().max()),
            f"correlation error, {name}": abs(float(torch.corrcoef(path[[0, -1]])[0, 1]) - correlation),
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return ["MinibatchOT", "BrownianBridge", *class_names(self.config), "SDE", "InterpolantOracle"]
