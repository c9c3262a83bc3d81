"""BOSS: the best grid of a few steps, and the flow refined to take exactly these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, TrajectoryPairs
from pushforward.objectives import Discrete, SegmentMatching
from pushforward.randomness import seeded
from pushforward.solvers import FixedStep, Solver, StepCosts

__all__ = ["Boss"]


@dataclass(frozen=True)
class Boss(Distillation):
    """Choose the grid of Euler steps that costs least along `trajectories` fine paths of the teacher, of `fine`
    evaluations each (`StepCosts`), and train it further to get from node to node in one step (`TrajectoryPairs` of
    `pool` trajectories, followed by `solver`).

    With `refine=False` the grid is all: nothing is trained, and the student is the teacher with another solver. A
    refined student is right at its own nodes alone.

    Raises `InputError` for more steps than the fine path has, and for no trajectories.
    """

    references: ClassVar[tuple[Reference, ...]] = StepCosts.references
    fine: int = 100
    trajectories: int = 500
    refine: bool = True
    pool: int = 5000
    solver: Solver = field(default_factory=lambda: FixedStep("euler", 100))

    def __post_init__(self) -> None:
        if min(self.fine, self.trajectories, self.pool) < 1:
            raise InputError(f"Boss needs positive numbers of steps and trajectories, got {self}")

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, its solver Euler's on the grid."""
        grid = self.costs(task).rule(task.steps)
        sampler = FixedStep("euler", grid=grid)
        if not self.refine:
            return task.teacher.with_solver(sampler)
        pairs = TrajectoryPairs(grid, solver=self.solver, pool=self.pool)
        objective = SegmentMatching(Discrete(1))
        return task.fit("at-nodes", init=task.teacher, coupling=pairs, objective=objective, solver=sampler)

    def costs(self, task: Task) -> StepCosts:
        """Return the costs along fresh trajectories, with the conditions of fresh targets."""
        flow, (source, target) = task.teacher, task.measures
        generator = seeded(task.seed, "trajectories")
        x = source.sample(self.trajectories, generator=generator)
        told = flow.observed(target.draw(self.trajectories, generator=generator), generator=generator)
        return flow.step_costs(x, told, fine=self.fine)
