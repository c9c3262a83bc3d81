"""FlowTurbo: the same steps, fewer of which evaluate the flow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.networks import Refiner
from pushforward.objectives import Objective, VelocityRefinement
from pushforward.solvers import Program

__all__ = ["FlowTurbo"]


@dataclass(frozen=True)
class FlowTurbo(Distillation):
    """Keep the flow as it is and take cheaper steps: one of Heun's, then the pseudo-corrector's, and the last third
    with a `refiner` trained beside the flow, which cost none of its evaluations.

    `program` says otherwise (`Program`); without R nothing is trained. Guidance is for programs without R.

    Raises `InputError` for a program of another number of steps than are asked for.
    """

    references: ClassVar[tuple[Reference, ...]] = Refiner.references
    program: str | None = None
    refiner: Refiner = field(default_factory=Refiner)
    objective: Objective = field(default_factory=VelocityRefinement)

    def __call__(self, task: Task) -> FlowTransport:
        """Return the flow with its refiner, its solver the program."""
        solver = Program(self.program or default_program(task.steps))
        if len(solver.kinds) != task.steps:
            raise InputError(f"{task.steps} steps asked for, but the program {solver.program} has {len(solver.kinds)}")
        if "R" not in solver.kinds:
            return task.teacher.with_solver(solver)
        return task.fit(
            "refiner", init=task.teacher, adapter=self.refiner, objective=self.objective, solver=solver
        )  # fmt: skip


def default_program(steps: int) -> str:
    """Return one H, a third of R at the end, and P between.

    >>> default_program(9), default_program(2), default_program(1)
    ('H1P5R3', 'H1P1', 'H1')
    """
    refined = steps // 3
    corrected = steps - 1 - refined
    return "H1" + (f"P{corrected}" if corrected else "") + (f"R{refined}" if refined else "")
