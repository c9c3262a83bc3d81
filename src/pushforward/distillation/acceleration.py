"""Constant acceleration flow: points that know the velocity they started with, and how it changes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport, SelfGenerated
from pushforward.networks import Architecture
from pushforward.objectives import AccelerationMatching, Displacement, FlowMatching, Objective
from pushforward.paths import Acceleration, OnAccelerating
from pushforward.solvers import AccelerationSteps, DormandPrince, Solver

__all__ = ["ConstantAcceleration"]


@dataclass(frozen=True)
class ConstantAcceleration(Distillation):
    """Learn, on the teacher's own pairs `(x0, Phi(x0))`, first the velocity `v0 = h (x1 - x0)` and then the
    acceleration that takes points the rest of the way, told v0.

    The first training goes on from the teacher's weights on the path `Affine(Accelerating(h))`; the second is of a
    `network` of its own, like the teacher's unless one is given. `h` over one slows points down, and the farther it is
    from one the more is left to the acceleration. Pairs are made anew by the teacher for each training
    (`SelfGenerated`, of which `pool`, `solver` and `guidance` are options). N steps are N + 1 evaluations.
    """

    references: ClassVar[tuple[Reference, ...]] = Acceleration.references
    h: float = 1.5
    network: Architecture | None = None
    pool: int | None = SelfGenerated.pool
    solver: Solver = field(default_factory=DormandPrince)
    guidance: float = 1.0
    velocity: Objective = field(default_factory=lambda: FlowMatching(weighting=Displacement()))
    acceleration: Objective = field(default_factory=AccelerationMatching)

    def __call__(self, task: Task) -> FlowTransport:
        """Return the second flow, its solver `AccelerationSteps` in `task.steps` steps."""
        pairs, sampler = SelfGenerated(self.solver, self.pool, self.guidance), AccelerationSteps(task.steps)
        first = task.fit(
            "velocity", init=task.teacher, adapter=OnAccelerating(self.h), coupling=pairs, objective=self.velocity
        )
        return task.fit(
            "acceleration", init=first, teacher=task.teacher, adapter=Acceleration(self.network), coupling=pairs,
            objective=self.acceleration, solver=sampler,
        )  # fmt: skip
