"""Reflow: train a flow again on the pairs that it makes itself, and its paths become straight."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, SelfGenerated
from pushforward.objectives import Discrete, FlowMatching, Objective
from pushforward.solvers import DormandPrince, FixedStep, GridSolver, Solver, choose_solver

__all__ = ["Reflow"]


@dataclass(frozen=True)
class Reflow(Distillation):
    """Rectify a flow: `rounds` times, train it further on its own pairs `(x0, Phi(x0))`, path and predictions kept.

    Each round starts from the network of the one before, and makes its pairs with it (`SelfGenerated`, of which `pool`,
    `solver` and `guidance` are options), so that errors add up: the first round does nearly all. The costs of the pairs
    do not grow, their paths no longer cross, and on straight paths one Euler step is nearly exact. On a curved affine
    path (`VP`) what becomes constant along a path is the prediction of its ends: take `sampler` with the method `ddim`.

    With `at_steps` one more training follows, on the last flow's pairs and at the times `0, 1/N, ..., (N - 1)/N` of the
    N steps alone: better in that many steps, and no longer a flow in any other number. `rounds=0` is that alone.

    Raises `InputError` for fewer than no rounds, or for nothing to do.
    """

    references: ClassVar[tuple[Reference, ...]] = SelfGenerated.references
    rounds: int = 1
    at_steps: bool = False
    pool: int | None = SelfGenerated.pool
    solver: Solver = field(default_factory=DormandPrince)
    guidance: float = 1.0
    objective: Objective = field(default_factory=FlowMatching)
    sampler: GridSolver = field(default_factory=lambda: FixedStep("euler"))

    def __post_init__(self) -> None:
        if self.rounds < 0 or (self.rounds == 0 and not self.at_steps):
            raise InputError(f"Reflow needs at least one round, or at_steps, got rounds={self.rounds}")

    def __call__(self, task: Task) -> FlowTransport:
        """Return the last flow, its solver the `sampler` in `task.steps` steps."""
        flow, sampler = task.teacher, choose_solver(self.sampler, steps=task.steps)
        stages = [(f"round-{number}", self.objective) for number in range(1, self.rounds + 1)]
        if self.at_steps:
            stages.append(("at-steps", FlowMatching(Discrete(task.steps))))
        for stage, objective in stages:
            pairs = SelfGenerated(self.solver, self.pool, self.guidance)
            flow = task.fit(stage, init=flow, coupling=pairs, objective=objective, solver=sampler)
        return flow
