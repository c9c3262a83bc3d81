"""Steps of points at a constant acceleration from the velocity that they started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.paths import Accelerated, Acceleration
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.solver import GridSolver
from pushforward.solvers.velocity import Velocity

__all__ = ["AccelerationSteps"]


@dataclass(frozen=True)
class AccelerationSteps(GridSolver):
    """Constant acceleration flow: read the initial velocity v0 off the first state, once, then `x_e = x_s + (e - s) (v0
    + a(x_s, s, v0) (s + e) / 2)`, the exact integral of `v0 + a t` in each step.

    N steps are N + 1 evaluations. From t = 1 backwards v0 is read off the state there, and the same formula inverts.
    Needs a flow that was trained with the adapter `Acceleration`, and no guidance beyond what is baked into it.
    """

    references: ClassVar[tuple[Reference, ...]] = Acceleration.references
    steps: int | None = 1
    grid: GridRule = field(default_factory=Uniform)

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps. Raises `InputError` for a field without an acceleration."""
        network = getattr(velocity.field, "network", None)
        if not isinstance(network, Accelerated):
            name = type(velocity.field).__name__
            raise InputError(f"{name} has no acceleration: fit with --adapter Acceleration, and leave out guidance")
        return _Steps(velocity, network)


class _Steps:
    """The stepper: between steps travels the initial velocity."""

    def __init__(self, velocity: Velocity, network: Accelerated) -> None:
        self.velocity, self.network, self.evaluations = velocity, network, 0

    def init(self, x: Tensor, grid: Grid) -> Tensor:
        self.evaluations += 1
        return self.network.initial(x, x.new_full((len(x),), grid.start), self.velocity.condition)

    def step(self, x: Tensor, s: float, e: float, state: Tensor) -> tuple[Tensor, Tensor]:
        self.evaluations += 1
        bend = self.network.acceleration(x, x.new_full((len(x),), s), state, self.velocity.condition)
        return x + (e - s) * torch.add(state, bend, alpha=(s + e) / 2), state
