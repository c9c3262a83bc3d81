"""Cheaper steps: the slope kept from the step before, and a light network that follows the velocity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pushforward.maps import FlowTransport
from pushforward.measures import ring
from pushforward.networks import Refiner
from pushforward.objectives import VelocityRefinement
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.recipes.flows import line_of_three, ring_flow
from pushforward.solvers import FixedStep, Program, Solver
from pushforward.solvers.solver import FixedMethod
from pushforward.training import Trainer, fit

__all__ = ["CachedSlopes", "VelocityRefiner"]


@dataclass(frozen=True)
class CachedSlopes(Experiment):
    """The pseudo-corrector on the exact flow to three Gaussians on the line.

    Figures: `order`, from 64 to 128 steps; `error` of 31 steps, which take 32 evaluations, beside `heun` (16 steps),
        `euler` (32) and `ab2` (31) in as many, root mean square over `rows` points.
    """

    rows: int = 4000

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Nothing is trained."""
        oracle, x = line_of_three(), torch.randn(self.rows, 1, generator=seeded(seed, "rows")).double()
        exact = oracle.flow_map(x, 0.0, 1.0)

        def off(method: FixedMethod, steps: int) -> float:
            return root_mean_square(FixedStep(method, steps).solve(oracle, x).x, exact)

        return {
            "order": math.log2(off("pseudo-corrector", 64) / off("pseudo-corrector", 128)),
            "error": off("pseudo-corrector", 31),
            "heun": off("heun", 16),
            "euler": off("euler", 32),
            "ab2": off("ab2", 31),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["PseudoCorrector", "FixedStep"]


@dataclass(frozen=True)
class VelocityRefiner(Experiment):
    """Train a flow from noise to the ring of eight Gaussians, then a refiner beside it.

    Figures: root mean square distances of `rows` end points from the trained flow's own, of 7 steps of the
        pseudo-corrector (`corrector`), 4 of Heun's (`heun`) and 8 of Euler's (`euler`), 8 evaluations each, and of the
        program H1P3R3 (`program`, 5 evaluations) beside 4 steps of the pseudo-corrector in as many (`shorter`); and
        what the refiner leaves of the change of velocity, `|v + r - v'| / |v - v'|`, averaged over t = 0.2, 0.5, 0.8
        and dt = 0.03, 0.06, 0.12 (`left`).
    """

    training: int = 3000
    steps: int = 1500
    width: int = 128
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit the flow and the refiner, and measure."""
        teacher = ring_flow(self.training, self.width, seed)
        refined = fit(
            "gaussian", ring(), init=teacher, adapter=Refiner(), objective=VelocityRefinement(), seed=seed,
            trainer=Trainer(steps=self.steps, batch_size=256, learning_rate=2e-3),
        )  # fmt: skip
        x = torch.randn(self.rows, 2, generator=seeded(seed, "rows"))
        truth = teacher.push(x, tolerance=1e-6)
        solvers: dict[str, Solver] = {
            "corrector": FixedStep("pseudo-corrector", 7), "heun": FixedStep("heun", 4), "euler": FixedStep("euler", 8),
            "program": Program("H1P3R3"), "shorter": FixedStep("pseudo-corrector", 4),
        }  # fmt: skip
        with torch.no_grad():
            ends = {name: refined.solve(x, solver=solver).x for name, solver in solvers.items()}
        return {name: root_mean_square(end, truth) for name, end in ends.items()} | {"left": self._left(refined, seed)}

    @torch.no_grad()
    def _left(self, flow: FlowTransport, seed: int) -> float:
        x0 = torch.randn(self.rows, 2, generator=seeded(seed, "source"))
        x1, left = ring().sample(self.rows, generator=seeded(seed, "target")), []
        for t in (0.2, 0.5, 0.8):
            now, x = torch.full((self.rows,), t), torch.lerp(x0, x1, t)
            before = flow.field.velocity(x, now)
            for dt in (0.03, 0.06, 0.12):
                y = x + dt * before
                exact, found = flow.field.velocity(y, now + dt), flow.field.refined(y, now + dt, before)
                left.append(float((found - exact).norm(dim=1).mean() / (before - exact).norm(dim=1).mean()))
        return sum(left) / len(left)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Refiner", "VelocityRefinement", "Program", "PseudoCorrector", "MLP"]
