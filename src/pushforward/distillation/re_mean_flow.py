"""Re-MeanFlow: one reflow's pairs, of which the average velocity is learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.maps import FlowTransport, SelfGenerated
from pushforward.networks import TwoTimes
from pushforward.objectives import Adaptive, Conditional, LogitNormal, MeanFlow, TimePairs, UShaped, VelocityRule
from pushforward.solvers import DormandPrince, Jump, Solver

__all__ = ["ReMeanFlow"]


@dataclass(frozen=True)
class ReMeanFlow(Distillation):
    """Train a flow's own network on as a flow map, by MeanFlow on the pairs `(x0, Phi(x0))` that the flow makes.

    Paths between these pairs hardly cross, so the velocity of a pair is nearly its mean and the target nearly without
    noise; what bends is averaged over instead of being rectified once more. Of the `pool` the nearest pairs are `kept`
    (`SelfGenerated`, of which `solver` and `guidance` are options too): the farthest are the most bent. `times`,
    `weighting` and `velocity` are those of `objectives.MeanFlow`; the authors' jumps start at U-shaped times, and long
    ones from near the source go all the way. The student starts from the teacher's weights and takes any number of
    jumps.

    Raises `InputError` for what `SelfGenerated` refuses, and for a teacher whose network has no architecture of this
    library.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "zhang2025flow",
            "Flow Straighter and Faster: Efficient One-Step Generative Modeling via MeanFlow on Rectified Trajectories",
            "Zhang, Xinxi and Tan, Shiwei and Nguyen, Quang and Dao, Quan and Han, Ligong and He, Xiaoxiao and "
            "Zhang, Tunyu and Mrdovic, Alen and Metaxas, Dimitris",
            2025,
            arxiv="2511.23342",
        ),
    )
    pool: int | None = SelfGenerated.pool
    kept: float = 0.9
    solver: Solver = field(default_factory=DormandPrince)
    guidance: float = 1.0
    velocity: VelocityRule = field(default_factory=Conditional)
    times: TimePairs = field(
        default_factory=lambda: TimePairs(UShaped(4.0), 0.25, LogitNormal(-0.8, 1.0), through=(0.2, 0.6))
    )
    weighting: Adaptive = field(default_factory=lambda: Adaptive(0.0))

    def __post_init__(self) -> None:
        self._pairs()  # what it refuses is refused before any work

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` jumps."""
        objective = MeanFlow(self.velocity, self.times, self.weighting)
        return task.fit(
            "meanflow", init=task.teacher, adapter=TwoTimes(), coupling=self._pairs(), objective=objective,
            solver=Jump(task.steps),
        )  # fmt: skip

    def _pairs(self) -> SelfGenerated:
        return SelfGenerated(self.solver, self.pool, self.guidance, self.kept)
