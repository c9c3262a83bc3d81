"""What distillation changed in the weights of one flow, added to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import STAGES, TEACHER, Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, load
from pushforward.networks import WeightDelta, carried_over
from pushforward.papers import PERFLOW
from pushforward.solvers import choose_solver

__all__ = ["Transplant"]


@dataclass(frozen=True)
class Transplant(Distillation):
    """Distil a flow without training: add to it, `scale` times, what the weights of another were changed by when that
    was distilled, `W_student - W_teacher`.

    `student` is the directory of that run, which holds its teacher too. The flow here is a sibling of that teacher, of
    the same architecture and best fine-tuned from it.
    """

    references: ClassVar[tuple[Reference, ...]] = (PERFLOW,)
    student: str
    scale: float = 1.0

    def __call__(self, task: Task) -> FlowTransport:
        """Return the sibling with the difference, its solver that of the student in `task.steps` steps. Raises
        `InputError` where `student` is not the run of one, or its weights are others.
        """
        folder = f"{self.student}/{STAGES}/{TEACHER}"
        student, teacher = load(self.student), load(folder)
        if not isinstance(student, FlowTransport) or not isinstance(teacher, FlowTransport):
            raise InputError(f"{self.student} is not the run of a distilled flow")
        path = student.field.path
        delta = WeightDelta.between(carried_over(teacher.field, path), student.field)
        sibling = task.teacher
        field = delta.added(carried_over(sibling.field, path), self.scale)
        solver = choose_solver(student.solver, steps=task.steps)
        return FlowTransport(field, solver, sibling.source, *sibling.frames, sibling.names, sibling.starts_from)
