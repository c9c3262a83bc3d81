"""Jumps to the end of the flow, with fresh noise between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.networks import Field, ToEnd
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.solver import GridSolver
from pushforward.solvers.velocity import Velocity

__all__ = ["Renoised"]


@dataclass(frozen=True)
class Renoised(GridSolver):
    """Jump to t = 1, `x1 = x_s + (1 - s) u(x_s; s, 1)`, go back to the next node on the path between fresh source noise
    and x1, and jump again: one evaluation a step, by default one in all.

    With an exact map the law of the result is exact in any number of steps; with a learnt one each later jump, from
    nearer the target, mends what the one before left. On the path `VariationalNoise` the noise is that of the encoder
    at x1. For networks that know jumps to the end (`MeanFlow` and its kind, and `Consistency`, whose only way it is).
    The further steps need a source N(0, I) that is independent of the target; it runs forwards.
    """

    references: ClassVar[tuple[Reference, ...]] = ToEnd.references
    steps: int | None = 1
    grid: GridRule = field(default_factory=Uniform)

    stochastic: ClassVar[bool] = True

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps. Raises `InputError` for anything but a trained flow map."""
        return _Jumps(velocity, generator)


class _Jumps:
    """The stepper."""

    def __init__(self, velocity: Velocity, generator: torch.Generator | None) -> None:
        if not isinstance(velocity.field, Field):
            raise InputError(f"Renoised needs a trained flow map, not {type(velocity.field).__name__}")
        self.field, self.condition, self.generator, self.evaluations = velocity.field, velocity.condition, generator, 0

    def init(self, x: Tensor, grid: Grid) -> None:
        """Return nothing. Raises `InputError` for a grid that runs backwards, and for noise that cannot be drawn."""
        if grid.end < grid.start:
            raise InputError("flow maps jump forwards in time")
        if (len(grid) > 1 or grid.end < 1) and not self.field.gaussian_source:
            raise InputError("fresh noise between jumps needs a source N(0, I), paired independently: take one step")

    def step(self, x: Tensor, s: float, e: float, state: None) -> tuple[Tensor, None]:
        """Jump from `s` to the end, and go back to `e`."""
        self.evaluations += 1
        times = x.new_tensor([s, 1.0, e])[:, None].expand(3, len(x))
        u = self.field.mean_velocity(x, times[0], times[1], self.condition)
        end = torch.add(x, u, alpha=1 - s)
        if e == 1:
            return end, None
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        pairs = Pairs(noise, end, self.condition, gaussian_source=True)
        back = Times(times[2], times[2], torch.zeros_like(times[2]))
        return self.field.path.point(pairs, back, generator=self.generator).x, None
