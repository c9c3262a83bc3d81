"""MDT-dist: the flow's own network, made to say the way to the data in one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport
from pushforward.objectives import EulerianTarget, LogitNormal, MarginalTransport, Taught, TimeLaw
from pushforward.solvers import FixedStep

__all__ = ["MDTDistillation"]


@dataclass(frozen=True)
class MDTDistillation(Distillation):
    """Train a flow's own network on to say, of every state, the average velocity of the way to t = 1: by velocity
    `matching` and velocity `distillation` (`MarginalTransport`, of which these, `time` and `target` are options).

    `guidance` of the teacher is built in. The student takes Euler steps, of which one goes all the way and each of
    several a part of the way that is left.
    """

    references: ClassVar[tuple[Reference, ...]] = MarginalTransport.references
    matching: float = 1.0
    distillation: float = 1.0
    guidance: float = 1.0
    time: TimeLaw = field(default_factory=lambda: LogitNormal(-1.0, 1.0))
    target: EulerianTarget = field(default_factory=EulerianTarget)

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` steps. Raises `InputError` for a source other than noise, unless
        `distillation` is 0.
        """
        taught = Taught(self.guidance)
        objective = MarginalTransport(self.matching, self.distillation, taught, self.time, self.target)
        solver = FixedStep("euler", task.steps)
        return task.fit("transport", init=task.teacher, objective=objective, solver=solver)
