"""Pairs that cross, followed at a constant acceleration and by rectified flow, there and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.couplings import Matched
from pushforward.distillation import ConstantAcceleration, Reflow, distil
from pushforward.maps import FlowTransport
from pushforward.measures import as_measure
from pushforward.networks import MLP
from pushforward.objectives import AccelerationMatching, Displacement, FlowMatching
from pushforward.paths import Accelerating, Acceleration, Affine
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square, sliced
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import AccelerationSteps
from pushforward.training import Trainer, fit

__all__ = ["AcceleratedRing", "CrossingPairs"]


@dataclass(frozen=True)
class CrossingPairs(Experiment):
    """Two bundles of pairs that cross half-way, `x0 = (-2, +-2) + 0.3 z` and `x1 = (2, -+2) + 0.3 z` with the same z:
    fit a constant acceleration flow with initial velocity `h (x1 - x0)`, `steps` for the velocity and as many for
    the acceleration, and a rectified flow for the steps of both together.

    Figures on `rows` other pairs, root mean square distances: `error@N` of N steps (N + 1 evaluations) from x1,
    `error@N rectified` of N Euler steps; `there and back`, of x1 from itself, carried back to x0 and forth again in 8
    steps each, and `back`, from x0 on the way.
    """

    h: float = 1.5
    steps: int = 500
    width: int = 96
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit both and measure them."""
        x0, x1 = _crossing(20_000, seeded(seed, "pairs"))
        flow = self._accelerated(x0, x1, seed)
        rectified = self._fit(x0, x1, 2 * self.steps, seed, coupling=Matched(), network=MLP(self.width))
        x0, x1 = _crossing(self.rows, seeded(seed, "rows"))
        start = flow.pull(x1, steps=8)
        found = {"back": root_mean_square(start, x0), "there and back": root_mean_square(flow.push(start, steps=8), x1)}
        for steps in (1, 8):
            found[f"error@{steps}"] = root_mean_square(flow.push(x0, steps=steps), x1)
            found[f"error@{steps} rectified"] = root_mean_square(rectified.push(x0, steps=steps, method="euler"), x1)
        return found

    def _accelerated(self, x0: Tensor, x1: Tensor, seed: int) -> FlowTransport:
        path = Affine(Accelerating(self.h))
        first = self._fit(
            x0, x1, self.steps, seed, coupling=Matched(), network=MLP(self.width), path=path,
            objective=FlowMatching(weighting=Displacement()),
        )  # fmt: skip
        return self._fit(
            x0, x1, self.steps, seed, coupling=Matched(), init=first, adapter=Acceleration(),
            objective=AccelerationMatching(), solver=AccelerationSteps(8),
        )  # fmt: skip

    def _fit(self, x0: Tensor, x1: Tensor, steps: int, seed: int, **pieces: Any) -> FlowTransport:
        trainer = Trainer(steps=steps, batch_size=256, learning_rate=2e-3, ema=0.99)
        return fit(x0, x1, trainer=trainer, normalise="none", seed=seed, **pieces)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [
            "Accelerating", "Acceleration", "AccelerationMatching", "AccelerationSteps", "Displacement", "Matched",
            "MLP",
        ]  # fmt: skip


@dataclass(frozen=True)
class AcceleratedRing(Experiment):
    """Train a flow from noise to the ring of eight Gaussians and distil it at a constant acceleration, and by reflow
    for as many steps.

    Figures, `sliced W2@N NAME` to the ring, on 10,000 points and at N evaluations, of the `teacher` by Euler steps, of
    the student at constant acceleration (`accelerated`, N - 1 steps) and of the `rectified` one, and the `floor`.
    """

    training: int = 3000
    steps: int = 1000
    width: int = 128

    def run(self, seed: int) -> Figures:
        """Train, distil twice, and measure."""
        sides: dict[str, Any] = {"source": "gaussian", "target": as_measure("ring")}
        trainer = Trainer(steps=self.training, batch_size=256, learning_rate=2e-3, ema=0.995)
        flows = {"teacher": fit(**sides, network=MLP(self.width), normalise="none", trainer=trainer, seed=seed)}
        methods = {
            "accelerated": (ConstantAcceleration(pool=10_000), self.steps),
            "rectified": (Reflow(pool=10_000), 2 * self.steps),
        }
        for name, (method, steps) in methods.items():
            trainer = Trainer(steps=steps, batch_size=256, learning_rate=1e-3, ema=0.995)
            flows[name] = distil(flows["teacher"], method, **sides, trainer=trainer, seed=seed)
        x0 = torch.randn(10_000, 2, generator=seeded(seed, "noise"))
        x1, fresh = (sides["target"].sample(len(x0), generator=seeded(seed, name)) for name in ("target", "fresh"))
        found = {"floor": sliced(fresh, x1)}
        for name, flow in flows.items():
            for count in (2, 4):
                moved = flow.push(x0, steps=count - 1) if name == "accelerated" else _euler(flow, x0, count)
                found[f"sliced W2@{count} {name}"] = sliced(moved, x1)
        return found

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["ConstantAcceleration", "OnAccelerating", "SelfGenerated", "Reflow", "FlowMatching", "MLP"]


def _crossing(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    side = torch.where(torch.rand(n, generator=generator) < 0.5, 2.0, -2.0)
    z = 0.3 * torch.randn(n, 2, generator=generator)
    across = torch.full_like(side, 2.0)
    return torch.stack([-across, side], 1) + z, torch.stack([across, -side], 1) + z


def _euler(flow: FlowTransport, x: Tensor, steps: int) -> Tensor:
    return flow.push(x, steps=steps, method="euler")
