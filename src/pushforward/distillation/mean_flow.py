"""Distil a flow into its own flow map by MeanFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.networks import TwoTimes
from pushforward.objectives import Adaptive, MeanFlow, Taught, TimePairs
from pushforward.objectives import Uniform as UniformTimes
from pushforward.solvers import Jump

__all__ = ["MeanFlowDistillation"]


@dataclass(frozen=True)
class MeanFlowDistillation(Distillation):
    """Train a flow's own network on as its flow map: MeanFlow with the velocity of the teacher, and the teacher's
    weights at the start.

    States are those of the path between the data, whose velocity the teacher knows without noise, sharpened by
    `guidance` where it was trained for it: the student has that built in. `times` and `weighting` are those of
    `objectives.MeanFlow`; the student takes any number of jumps. Raises `InputError` for a teacher whose network has no
    architecture of this library.
    """

    references: ClassVar[tuple[Reference, ...]] = MeanFlow.references
    guidance: float = 1.0
    times: TimePairs = field(default_factory=lambda: TimePairs(UniformTimes(), 0.75))
    weighting: Adaptive = field(default_factory=lambda: Adaptive(0.0))

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` jumps."""
        objective = MeanFlow(Taught(self.guidance), self.times, self.weighting)
        solver = Jump(task.steps)
        return task.fit("meanflow", init=task.teacher, adapter=TwoTimes(), objective=objective, solver=solver)
