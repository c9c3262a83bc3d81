"""Distil a flow into a shortcut model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.networks import TwoTimes
from pushforward.objectives import Dyadic, Shortcut, Taught
from pushforward.solvers import Jump

__all__ = ["ShortcutDistillation"]


@dataclass(frozen=True)
class ShortcutDistillation(Distillation):
    """Train a flow's own network on as a shortcut model: jumps are learnt as their own halves, and the shortest halves
    from the velocity of the teacher, sharpened by `guidance` where it was trained for it.

    It starts from the teacher's weights, and takes no derivatives. `times` and `target_decay` are those of
    `objectives.Shortcut`; the student takes 1, 2, 4, ... jumps. Raises `InputError` for a teacher whose network has no
    architecture of this library.
    """

    references: ClassVar[tuple[Reference, ...]] = Shortcut.references
    guidance: float = 1.0
    times: Dyadic = field(default_factory=lambda: Dyadic(distinct=0.5))
    target_decay: float | None = 0.99

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` jumps."""
        objective = Shortcut(Taught(self.guidance), times=self.times, target_decay=self.target_decay)
        solver = Jump(task.steps)
        return task.fit("shortcut", init=task.teacher, adapter=TwoTimes(), objective=objective, solver=solver)
