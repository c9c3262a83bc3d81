"""pi-Flow: a student that says policies, which are followed without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.networks import DataGrid, MixtureHead, Policy, PolicyHead
from pushforward.objectives import Curriculum, Held, PolicyImitation, Taught
from pushforward.solvers import GridRule, PolicySteps, Uniform

__all__ = ["PiFlow"]


@dataclass(frozen=True)
class PiFlow(Distillation):
    """Train a flow's own network on to say a policy, a velocity in closed form that is good for a whole segment of
    time, and to move points by it as the flow would (`PolicyImitation`).

    The `policy` is a mixture of target points (`MixtureHead`), or target points at several times (`DataGrid`) or a
    polynomial of time (its `basis`); of the head given here the network is replaced by the flow's. One evaluation a
    step; the `substeps` taken for a unit of time, in training and in use, cost none. The student knows the segments of
    `task.steps` steps laid out by `grid`, and those of the other `budgets`. `guidance` of the teacher is built in.
    `times`, `dropout` and `mixing` are those of the objective.

    Raises `InputError` for a teacher whose network has no architecture of this library, and for a path that is not
    affine.
    """

    references: ClassVar[tuple[Reference, ...]] = Policy.references
    policy: MixtureHead | DataGrid = field(default_factory=MixtureHead)
    budgets: tuple[int, ...] = ()
    grid: GridRule = field(default_factory=Uniform)
    guidance: float = 1.0
    times: int = 2
    substeps: int = 128
    dropout: float = 0.05
    mixing: Curriculum = field(default_factory=lambda: Held(0.0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", tuple(self.budgets))

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` evaluations."""
        budgets = (task.steps, *(budget for budget in self.budgets if budget != task.steps))
        objective = PolicyImitation(
            budgets, self.grid, Taught(self.guidance), self.times, self.substeps, self.dropout, self.mixing
        )  # fmt: skip
        return task.fit(
            "policy", init=task.teacher, adapter=PolicyHead(self.policy), objective=objective,
            solver=PolicySteps(task.steps, self.substeps, self.grid),
        )  # fmt: skip
