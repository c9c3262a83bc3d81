"""Sampling with the whole law of the velocity: draw one at every step, rather than follow their mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import ScheduleFn, VelocityField, VelocityLaw
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.papers import HIERARCHICAL_RECTIFIED_FLOW
from pushforward.solvers.affine_steps import advanced, coefficients, schedule_of
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.solver import GridSolver
from pushforward.solvers.velocity import Velocity

__all__ = ["NestedSampler", "law_of"]


@dataclass(frozen=True)
class NestedSampler(GridSolver):
    """Draw a velocity from its law at every step, and go with it to the next node.

    The state and a velocity determine both ends of a pair, `x = alpha x1 + sigma x0` and `v = alpha' x1 + sigma' x0`,
    and the next state is `alpha_e x1 + sigma_e x0` of the same ends: `x + (e - s) v` on straight paths. Since the ends
    have their own law given x, an exact law of the velocity gives the exact law of every state, at any number of steps,
    in one step already; in the limit of many the flow of the mean remains. Backwards in time as well.

    Needs a network that models the law, and an affine path. `evaluations` counts the draws: what one costs (the steps
    of a flow inside) is the network's own.
    """

    references: ClassVar[tuple[Reference, ...]] = (HIERARCHICAL_RECTIFIED_FLOW,)
    steps: int | None = 4
    grid: GridRule = field(default_factory=Uniform)

    stochastic: ClassVar[bool] = True

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        return _Draws(velocity, generator)


class _Draws:
    """The stepper: one velocity drawn for each step."""

    def __init__(self, velocity: Velocity, generator: torch.Generator | None) -> None:
        self.law, self.schedule = law_of(velocity.field)
        self.condition, self.generator, self.evaluations = velocity.condition, generator, 0

    def init(self, x: Tensor, grid: Grid) -> Any:
        return None

    def step(self, x: Tensor, s: float, e: float, state: Any) -> tuple[Tensor, Any]:
        self.evaluations += 1
        v = self.law.sample(x, x.new_full((len(x),), s), self.condition, generator=self.generator)
        return advanced(x, v, coefficients(self.schedule, s), coefficients(self.schedule, e)), None


def law_of(field: VelocityField) -> tuple[VelocityLaw, ScheduleFn]:
    """Return the law of the velocity that a field holds, or is, and the schedule of its path. Raises `InputError` for a
    field that knows the mean alone, and for a path that is not affine.
    """
    if isinstance(field, Field):
        return field.law, schedule_of(field)
    if not isinstance(field, VelocityLaw) or getattr(field, "schedule", None) is None:
        raise InputError(f"{type(field).__name__} does not hold the law of a velocity: leave out solver or guidance")
    return field, schedule_of(field)
