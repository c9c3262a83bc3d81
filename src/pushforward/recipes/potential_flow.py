"""Flows along gradients of potentials, rectified round after round: what their pairs cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.distillation import Reflow, distil
from pushforward.geometry import ConvexCost
from pushforward.measures import as_measure
from pushforward.metrics import bures_wasserstein2, sliced_wasserstein2
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import Trainer, fit_config

__all__ = ["GaussianRounds", "PotentialRounds", "gaussian_rounds"]

ROWS = 10_000


def gaussian_rounds(s0: Tensor, s1: Tensor, rounds: int, *, potential: bool, steps: int = 256) -> list[float]:
    """Return the mean squared length of the pairs of N(0, s0) and N(0, s1), independent at first, after each round of
    rectification, in closed form.

    Pairs stay Gaussian, so that the velocity is linear: `A_t x`, with `A_t = C_t S_t^-1` for the covariances
    `S_t` of the state and `C_t` of displacement and state, and, for a potential, with the symmetric A_t that solves
    `A S + S A = C + C^T`. The flow map of a round, by Runge-Kutta steps, makes the pairs of the next.
    """
    cross = torch.zeros_like(s0)  # E x1 x0^T
    costs = [float((s0 + s1 - 2 * cross).trace())]
    for _ in range(rounds):
        flow, h = torch.eye(len(s0), dtype=s0.dtype), 1 / steps
        for k in range(steps):
            first, middle, last = (_linear(s0, s1, cross, k * h + c * h, potential) for c in (0, 0.5, 1))
            k1 = first @ flow
            k2 = middle @ (flow + h / 2 * k1)
            k3 = middle @ (flow + h / 2 * k2)
            flow = flow + h / 6 * (k1 + 2 * k2 + 2 * k3 + last @ (flow + h * k3))
        cross = flow @ s0
        costs.append(float((s0 + s1 - 2 * cross).trace()))
    return costs


def _linear(s0: Tensor, s1: Tensor, cross: Tensor, t: float, potential: bool) -> Tensor:
    state = (1 - t) ** 2 * s0 + t**2 * s1 + t * (1 - t) * (cross + cross.T)
    moved = t * s1 + (1 - t) * cross - (1 - t) * s0 - t * cross.T  # E (x1 - x0) x_t^T
    if not potential:
        return torch.linalg.solve(state, moved, left=False)
    values, vectors = torch.linalg.eigh(state)
    turned = vectors.T @ (moved + moved.T) @ vectors / (values[:, None] + values)
    return vectors @ turned @ vectors.T


@dataclass(frozen=True)
class GaussianRounds(Experiment):
    """The closed form: figures `free@k` and `potential@k`, the cost after k rounds, and `optimal`."""

    source: list[list[float]]
    target: list[list[float]]
    rounds: int = 5

    def run(self, seed: int) -> Figures:
        """Iterate the linear maps; nothing is drawn."""
        s0, s1 = (torch.tensor(c, dtype=torch.float64) for c in (self.source, self.target))
        figures = {"optimal": float(bures_wasserstein2(s0, s1))}
        for name, potential in (("free", False), ("potential", True)):
            costs = gaussian_rounds(s0, s1, self.rounds, potential=potential)
            figures |= {f"{name}@{number}": value for number, value in enumerate(costs)}
        return figures

    def pieces(self) -> list[str]:
        """Return the classes that it speaks of."""
        return ["Gaussian"]


@dataclass(frozen=True)
class PotentialRounds(Experiment):
    """Fit a flow and rectify it, with the same objective: `rounds` in all.

    `config` holds arguments of `fit`, `trainer` the options of the later trainings, on `pool` pairs. Figures of 10,000
    pairs after each round k, by the adaptive solver: `cost@k`, the mean of `cost`, which begins at `cost@0` of
    independent pairs, and `sliced W2@k` of the ends to the target.
    """

    config: dict[str, Any]
    cost: dict[str, Any]
    rounds: int = 2
    trainer: dict[str, Any] = field(default_factory=dict)
    pool: int = 10_000

    def run(self, seed: int) -> Figures:
        """Train every round and measure each."""
        target = as_measure(build(self.config["target"]))
        source, cost = as_measure(build(self.config["source"]), like=target), build(self.cost)
        x0, x1 = (m.sample(ROWS, generator=seeded(seed, "rows", name)) for m, name in ((source, "x0"), (target, "x1")))
        flow = fit_config(self.config | {"seed": seed})
        method = Reflow(1, pool=self.pool, objective=build(self.config["objective"]))
        figures = {"cost@0": _mean(cost, x0, x1)}
        for number in range(1, self.rounds + 1):
            if number > 1:
                flow = distil(
                    flow, method, source=source, target=target, trainer=Trainer(**self.trainer), seed=seed + 10 * number
                )
            moved = flow.push(x0, tolerance=1e-4)
            figures[f"cost@{number}"] = _mean(cost, x0, moved)
            figures[f"sliced W2@{number}"] = float(
                sliced_wasserstein2(moved, x1, generator=torch.Generator().manual_seed(0))
            )
        return figures

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return [*class_names(self.config), "SelfGenerated", "Reflow", *class_names(self.cost)]


def _mean(cost: ConvexCost, x: Tensor, y: Tensor) -> float:
    return float(cost.aligned(x, y.to(x)).mean())
