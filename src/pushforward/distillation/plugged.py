"""What low-rank adapters learned beside one flow, added to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.adapter_files import with_adapter
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.networks import LoRA
from pushforward.solvers import choose_solver

__all__ = ["Plugged"]


@dataclass(frozen=True)
class Plugged(Distillation):
    """Distil a flow without training: add to it, `scale` times, the low-rank changes by which another was distilled.

    `adapter` is the folder of that name in the run of the other, distilled with the adapter `LoRA`. The flow here is a
    sibling of the other's teacher, best fine-tuned from it: the farther, the less is gained. The student is an ordinary
    flow map, its changes merged, with the guidance that was distilled.
    """

    references: ClassVar[tuple[Reference, ...]] = LoRA.references
    adapter: str
    scale: float = 1.0

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, its solver that of the other in `task.steps` steps. Raises `InputError` where the adapter
        does not fit.
        """
        student = with_adapter(task.teacher, self.adapter, scale=self.scale)
        return student.with_solver(choose_solver(student.solver, steps=task.steps))
