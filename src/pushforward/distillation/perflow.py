"""PeRFlow: a flow that is straight in each of a few windows of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.contracts import Coupling
from pushforward.couplings import Independent
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, InWindows, WindowedReflow
from pushforward.objectives import FlowMatching, Objective
from pushforward.papers import PERFLOW
from pushforward.solvers import FixedStep, Piecewise, Solver

__all__ = ["PerFlow"]


@dataclass(frozen=True)
class PerFlow(Distillation):
    """Straighten a flow inside each of `windows` equal windows of time, without making its pairs first.

    Every batch is noised data at the beginning of a window and where the teacher, by `solver`, brings them at its end
    (`WindowedReflow`); the student starts from the teacher's weights. One Euler step a window is then nearly exact,
    more steps are better still, those that do not come out even going to the first windows; a grid that leaves out an
    edge is refused. `tells_window` as for the path `Windows`. `coupling` pairs data and noise as when the teacher was
    trained. `guidance` above one is baked in; at one, with `condition_dropout` in the objective, the student takes
    guidance as its teacher does.

    Raises `InputError` for less than one window, and for fewer steps than windows.
    """

    references: ClassVar[tuple[Reference, ...]] = (PERFLOW,)
    windows: int = 4
    tells_window: bool = True
    solver: Solver = field(default_factory=lambda: FixedStep("midpoint", 4))
    coupling: Coupling = field(default_factory=Independent)
    guidance: float = 1.0
    objective: Objective = field(default_factory=FlowMatching)

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise InputError(f"PerFlow needs at least one window, got {self.windows}")

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, its solver Euler's in `task.steps` steps."""
        edges = tuple(k / self.windows for k in range(self.windows + 1))
        sampler = FixedStep("euler", task.steps, Piecewise(edges))
        sampler.layout(0.0, 1.0)  # refuses fewer steps than windows
        pairs = WindowedReflow(edges, self.solver, self.coupling, self.guidance)
        return task.fit(
            "windows", init=task.teacher, adapter=InWindows(edges, self.tells_window), coupling=pairs,
            objective=self.objective, solver=sampler,
        )  # fmt: skip
