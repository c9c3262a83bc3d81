"""Sampling with the whole law of the velocity: draw one at every step, rather than follow their mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import ScheduleFn, VelocityField, VelocityLaw
from pushforward.errors import InputError
from pushforward.networks import ClassifierFree, Field, FlowLaw
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

    `inner_steps` is how many midpoint steps a flow inside the law takes for each draw (hierarchical flows, flow heads);
    `None` is what the network was made with. An inner flow trained with a `VelocityBank` needs few.

    Needs a network that models the law, and an affine path. `evaluations` counts the draws: what one costs (the steps
    of a flow inside) is the network's own.
    """

    references: ClassVar[tuple[Reference, ...]] = (HIERARCHICAL_RECTIFIED_FLOW,)
    steps: int | None = 4
    grid: GridRule = field(default_factory=Uniform)
    inner_steps: int | None = None

    stochastic: ClassVar[bool] = True

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps. Raises `InputError` for a law without a flow inside that is told its steps."""
        law, schedule = law_of(velocity.field)
        if self.inner_steps is not None:
            if not isinstance(law, FlowLaw):
                raise InputError(f"{type(law).__name__} draws without a flow inside: leave out inner_steps")
            law = law.with_steps(self.inner_steps)
        return _Draws(law, schedule, velocity.condition, generator)


class _Draws:
    """The stepper: one velocity drawn for each step."""

    def __init__(
        self, law: VelocityLaw, schedule: ScheduleFn, condition: Condition | None, generator: torch.Generator | None
    ) -> None:
        self.law, self.schedule, self.condition, self.generator = law, schedule, condition, generator
        self.evaluations = 0

    def init(self, x: Tensor, grid: Grid) -> Any:
        return None

    def step(self, x: Tensor, s: float, e: float, state: Any) -> tuple[Tensor, Any]:
        self.evaluations += 1
        v = self.law.sample(x, x.new_full((len(x),), s), self.condition, generator=self.generator)
        return advanced(x, v, coefficients(self.schedule, s), coefficients(self.schedule, e)), None


def law_of(field: VelocityField) -> tuple[VelocityLaw, ScheduleFn]:
    """Return the law of the velocity that a field holds, or is, and the schedule of its path. Raises `InputError` for a
    field that knows the mean alone, a guided one among them, and for a path that is not affine.
    """
    if isinstance(field, ClassifierFree):
        raise InputError(
            "guidance exaggerates the mean velocity and leaves no law to draw from: leave it out, or name a method "
            "that follows the mean, for example euler"
        )
    if isinstance(field, Field):
        return field.law, schedule_of(field)
    if not isinstance(field, VelocityLaw) or getattr(field, "schedule", None) is None:
        raise InputError(f"{type(field).__name__} does not hold the law of a velocity: take another solver")
    return field, schedule_of(field)
