"""Distil a flow into a consistency model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.networks import ToEnds
from pushforward.objectives import AdjacentTimes, Consistency, Distance, Neighbours, SquaredError, Taught
from pushforward.solvers import Renoised

__all__ = ["ConsistencyDistillation"]


@dataclass(frozen=True)
class ConsistencyDistillation(Distillation):
    """Train a flow's own network on as a consistency model: neighbours on the teacher's way, a short step of its
    velocity apart, lead to the same end.

    It starts from the teacher's weights; `guidance` is built in where the teacher was trained for it. `times`,
    `distance` and `target_decay` are those of `objectives.Consistency`. One jump is deterministic, further ones need
    fresh noise (`solvers.Renoised`). Raises `InputError` for a teacher whose network has no architecture of this
    library.
    """

    references: ClassVar[tuple[Reference, ...]] = Consistency.references
    guidance: float = 1.0
    times: AdjacentTimes = field(default_factory=lambda: Neighbours(last=160))
    distance: Distance = field(default_factory=SquaredError)
    target_decay: float | None = None

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` jumps to the end."""
        objective = Consistency(
            Taught(self.guidance), times=self.times, distance=self.distance, target_decay=self.target_decay
        )
        solver = Renoised(task.steps)
        return task.fit("consistency", init=task.teacher, adapter=ToEnds(), objective=objective, solver=solver)
