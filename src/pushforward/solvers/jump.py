"""Jumps of a flow map: from node to node, each with one evaluation however far."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pushforward.contracts import TwoTimeField
from pushforward.errors import InputError
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.own_nodes import OwnNodes
from pushforward.solvers.velocity import Velocity

__all__ = ["Jump"]


@dataclass(frozen=True)
class Jump(OwnNodes):
    """Jump along the grid by the average velocity of a flow map, `x_e = x_s + (e - s) u(x_s; s, e)`: one evaluation
    each, by default one in all.

    For an exact map any number of jumps is exact. Needs a network of two times (`MeanFlow` and its kind), and runs
    forwards: they learn no jumps back. A path at other times than the nodes is read off by jumps of its own, which
    change nothing and are not counted.
    """

    steps: int | None = 1
    grid: GridRule = field(default_factory=Uniform)

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps. Raises `InputError` for a field that knows no jumps."""
        return _Jumps(velocity)


class _Jumps:
    """The stepper."""

    def __init__(self, velocity: Velocity) -> None:
        if not isinstance(velocity.field, TwoTimeField):
            raise InputError(f"{type(velocity.field).__name__} knows no jumps: leave out guidance, or name a method")
        self.field, self.velocity, self.evaluations = velocity.field, velocity, 0

    def init(self, x: Tensor, grid: Grid) -> None:
        """Return nothing: jumps remember nothing. Raises `InputError` for a grid that runs backwards."""
        if grid.end < grid.start:
            raise InputError("flow maps jump forwards in time: pull with a method, for example dopri5")
        if getattr(self.field, "only_to_end", False) and (len(grid) > 1 or grid.end < 1):
            raise InputError("a consistency model jumps to the end alone: take Renoised, with noise between its jumps")

    def step(self, x: Tensor, s: float, e: float, state: None) -> tuple[Tensor, None]:
        """Jump from `s` to `e`."""
        self.evaluations += 1
        start, end = (x.new_full((len(x),), t) for t in (s, e))
        u = self.field.mean_velocity(x, start, end, self.velocity.condition)
        return torch.add(x, u, alpha=e - s), None
