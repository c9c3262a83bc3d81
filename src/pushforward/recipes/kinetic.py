"""Kinetic-optimal schedules against their closed forms, and a flow trained with one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.contracts import Path
from pushforward.measures import Gaussian
from pushforward.metrics import energy_distance, path_energy
from pushforward.networks import MLP
from pushforward.paths import Affine, CondOT, KineticOptimal, Trig, kinetic_energy, kinetic_optimal
from pushforward.paths.kinetic import ErrorCurve
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["KineticClosedForms", "KineticFlow"]


@dataclass(frozen=True)
class KineticClosedForms(Experiment):
    """Kinetic energies per dimension of the optimal, the straight and the trigonometric schedule.

    Figures, for Gaussian data of variances 1.8 and 0.2 (`wide`), 1.99 and 0.01 (`flat`) and the two points +-1
        (`two`): the optimal energy (`wide optimal`), the energy of the schedule found, by quadrature (`wide found`),
        of the two others (`wide straight`, `wide trigonometric`), and for the Gaussians `wide bures`, half the squared
        W2 distance per dimension, which no flow can undercut.
    """

    def run(self, seed: int) -> Figures:
        """Nothing is random."""
        figures = {}
        for name, variances in (("wide", (1.8, 0.2)), ("flat", (1.99, 0.01))):
            figures |= self._energies(name, _gaussian_error(variances))
            figures[f"{name} bures"] = sum((math.sqrt(v) - 1) ** 2 for v in variances) / 4
        return figures | self._energies("two", _two_point_error)

    def _energies(self, name: str, error: ErrorCurve) -> Figures:
        schedule, energy = kinetic_optimal(error, floor=1e-6)
        schedules = {"found": schedule, "straight": CondOT(), "trigonometric": Trig()}
        found = {f"{name} {key}": kinetic_energy(value, error) for key, value in schedules.items()}
        return found | {f"{name} optimal": energy}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["KineticOptimal", "Tabulated", "CondOT", "Trig"]


@dataclass(frozen=True)
class KineticFlow(Experiment):
    """Flows from noise to a Gaussian of variances 1.8 and 0.2, with the schedule estimated from 2000 points and with
    straight lines, at the same budget.

    Figures: `path energy` beside the squared W2 distance (`squared W2`), and the energy distance to the target after
        two Euler steps (`two steps`); `straight path energy` and `straight two steps` for straight lines.
    """

    steps: int = 1500
    rows: int = 5000

    def run(self, seed: int) -> Figures:
        """Fit both and measure."""
        floor = sum((math.sqrt(v) - 1) ** 2 for v in (1.8, 0.2))
        optimal, straight = (self._measure(seed, path) for path in (Affine(KineticOptimal()), Affine()))
        return {"squared W2": floor} | optimal | {f"straight {name}": value for name, value in straight.items()}

    def _measure(self, seed: int, path: Path) -> Figures:
        target = Gaussian([0.0, 0.0], [[1.8, 0.0], [0.0, 0.2]])
        trainer = Trainer(steps=self.steps)
        transport = fit(
            "gaussian", target, path=path, network=MLP(width=64), trainer=trainer, normalise="none", seed=seed
        )
        x = torch.randn(self.rows, 2, generator=seeded(seed, "rows"))
        fresh = target.sample(self.rows, generator=seeded(seed, "fresh"))
        solution = transport.trajectory(x, times=65, solver=FixedStep("midpoint", 64))
        assert solution.path is not None and solution.nodes is not None
        return {
            "path energy": float(path_energy(solution.path, solution.nodes.to(x))),
            "two steps": float(energy_distance(transport.push(x, steps=2, method="euler"), fresh)),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["KineticOptimal", "Affine", "Independent", "FlowMatching", "MLP"]


def _gaussian_error(variances: tuple[float, ...]) -> ErrorCurve:
    s = torch.tensor(variances, dtype=torch.float64)
    return lambda rho: (s / (1 + rho[:, None] ** 2 * s)).mean(1)


def _two_point_error(rho: Tensor) -> Tensor:
    """`1 - E tanh(rho y)^2` for `y = rho + z`, by quadrature over z."""
    z = torch.linspace(-9, 9, 2001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2)
    return 1 - torch.tanh(rho[:, None] * (rho[:, None] + z)).square() @ (weight / weight.sum())
