"""Programs of steps of different kinds: exact ones first, cheap ones where the velocity has become steady."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import CountedStepper, Stepper
from pushforward.solvers.multistep import PseudoCorrector
from pushforward.solvers.runge_kutta import TABLEAUS, advance
from pushforward.solvers.solver import GridSolver
from pushforward.solvers.velocity import Velocity

__all__ = ["Program", "RefinerStepper"]


@dataclass(frozen=True)
class Program(GridSolver):
    """Steps of the kinds that `program` lists, each with its number, in that order: `H1P5R3` is one step of Heun's (two
    evaluations), five of the pseudo-corrector (one each) and three of the refiner (none of the field, two of the light
    network beside it).

    The velocity that a step ends with is the first guess of the next. Steps R need a field with a `Refiner`, and no
    guidance beyond what is baked into it. A grid with other than the program's number of steps stretches the program
    over them. `evaluations` counts those of the field. Raises `InputError` for a program that is no such list, and for
    another number of `steps`.
    """

    references: ClassVar[tuple[Reference, ...]] = PseudoCorrector.references
    program: str = "H1P5R3"
    steps: int | None = None
    grid: GridRule = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"([HPR][1-9]\d*)+", self.program):
            raise InputError(
                f"a program lists kinds of steps H, P and R with their numbers, as H1P5R3: {self.program!r}"
            )
        if self.steps is not None and self.steps != len(self.kinds):
            raise InputError(f"{self.steps} steps asked for, but the program {self.program} has {len(self.kinds)}")

    @property
    def kinds(self) -> str:
        """The kind of each step, one letter each."""
        return "".join(kind * int(count) for kind, count in re.findall(r"([HPR])(\d+)", self.program))

    def layout(self, start: float, end: float) -> Grid:
        """Return the times that it visits: as many steps as the program has, unless the grid has its own."""
        return self.grid(None if self.grid.fixes_steps else len(self.kinds), start, end)

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        return _Steps(self.kinds, velocity)


class RefinerStepper(CountedStepper):
    """Heun's step on velocities that a light network estimates from the one before: `d = v + r(x, s, v)`, `y = x + h
    d`, `d' = d + r(y, e, d)`, `x + (h/2) (d + d')`, and d' is kept.

    Only a first step evaluates the field. Raises `InputError` for a field without a refiner.
    """

    references: ClassVar[tuple[Reference, ...]] = PseudoCorrector.references

    def step(self, x: Tensor, s: float, e: float, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Advance from `s` to `e`."""
        before = self.velocity(x, s) if state is None else state
        slope = self.velocity.refined(x, s, before)
        ahead = self.velocity.refined(advance(x, [slope], [1.0], e - s), e, slope)
        return advance(x, [slope, ahead], TABLEAUS["heun"].b, e - s), ahead


class _Steps(CountedStepper):
    """The stepper of a program: between steps travels the velocity that the last one ended with."""

    def __init__(self, kinds: str, velocity: Velocity) -> None:
        super().__init__(velocity)
        self.kinds = kinds
        self.corrector, self.refiner = PseudoCorrector(velocity), RefinerStepper(velocity)
        self.at: dict[float, str] = {}

    def init(self, x: Tensor, grid: Grid) -> Tensor | None:
        count = len(grid)
        self.at = {time: self.kinds[k * len(self.kinds) // count] for k, time in enumerate(grid.nodes.tolist()[:-1])}
        return None

    def step(self, x: Tensor, s: float, e: float, state: Tensor | None) -> tuple[Tensor, Tensor]:
        kind = self.at[s]
        if kind == "R":
            return self.refiner.step(x, s, e, state)
        return self.corrector.step(x, s, e, None if kind == "H" else state)  # without a guess it is Heun's step
