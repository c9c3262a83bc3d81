"""What every way to distil a flow does."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport

__all__ = ["Distillation"]


class Distillation(ABC):
    """A way to make, out of a trained flow, one that needs few evaluations: `student = method(task)`."""

    @abstractmethod
    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, whose own solver takes `task.steps` steps. Trainings run through `task.fit`, which keeps
        and resumes them; the teacher is left as it is.

        Raises `InputError` for a teacher that cannot be distilled in this way, before any work.
        """
