"""A flow map in stages: along the teacher's trajectories, by its velocity, and from data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.contracts import Coupling
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.task import Task
from pushforward.errors import InputError
from pushforward.maps import FlowTransport, TrajectoryPairs
from pushforward.networks import TwoTimes
from pushforward.objectives import Adaptive, Conditional, DerivativeRule, JumpMatching, MeanFlow, Taught, TimePairs
from pushforward.objectives import Uniform as UniformTimes
from pushforward.solvers import FixedStep, GridRule, Jump, Solver, Uniform

__all__ = ["StagedMeanFlow"]


@dataclass(frozen=True)
class StagedMeanFlow(Distillation):
    """Train a flow's own network on as its flow map in three stages, each from where the one before ended.

    First (mid-training) on jumps between any two of the `nodes` states of the teacher's trajectories, laid out by
    `grid` (`JumpMatching` on `TrajectoryPairs`, of which `pool` and `solver` are options, for large images `None`):
    a start that already jumps. Then by MeanFlow with the teacher's velocity, which has no noise; last, with that of the
    data's own pairs, which lifts what the teacher is wrong about. `shares` are those of the trainer's steps that the
    three take; one of 0 is left out. `times`, `weighting` and `derivative` are those of `objectives.MeanFlow`,
    `coupling` pairs data and noise as when the teacher was trained, by default as `fit` does. In a latent space of D
    numbers the authors draw times from `Shift(Uniform(), q)` and lay nodes out by `Shifted(q)`, `q = sqrt(D / 4096)`.

    Raises `InputError` for shares that are negative or do not sum to one, for less than one jump, and for a teacher
    whose network has no architecture of this library.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "hu2025meanflow",
            "MeanFlow Transformers with Representation Autoencoders",
            "Hu, Zheyuan and Lai, Chieh-Hsin and Wu, Ge and Mitsufuji, Yuki and Ermon, Stefano",
            2025,
            arxiv="2511.13019",
        ),
    )
    shares: tuple[float, float, float] = (0.5, 0.5, 0.0)
    nodes: int = 16
    grid: GridRule = field(default_factory=Uniform)
    solver: Solver = field(default_factory=lambda: FixedStep("midpoint", 30))
    pool: int | None = 2000
    coupling: Coupling | None = None
    times: TimePairs = field(default_factory=lambda: TimePairs(UniformTimes(), 0.25))
    weighting: Adaptive = field(default_factory=lambda: Adaptive(0.0))
    derivative: DerivativeRule = "forward"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(self.shares))
        if len(self.shares) != 3 or min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise InputError(f"shares are three, none negative, and sum to one, got {self.shares}")
        if self.nodes < 2:
            raise InputError(f"a jump needs two nodes, got nodes={self.nodes}")

    def __call__(self, task: Task) -> FlowTransport:
        """Return the student, which takes `task.steps` jumps."""
        along = TrajectoryPairs(self.grid, self.nodes - 1, self.solver, self.pool, "any")
        taught, own = (
            MeanFlow(velocity, self.times, self.weighting, derivative=self.derivative)
            for velocity in (Taught(), Conditional())
        )
        stages = {
            "trajectories": (along, JumpMatching()),
            "distilled": (self.coupling, taught),
            "bootstrapped": (self.coupling, own),
        }
        flow = task.teacher
        for (stage, (coupling, objective)), share in zip(stages.items(), self.shares, strict=True):
            if steps := round(share * task.trainer.steps):
                flow = task.fit(
                    stage, init=flow, teacher=task.teacher, adapter=TwoTimes(), coupling=coupling, objective=objective,
                    solver=Jump(task.steps), trainer=replace(task.trainer, steps=steps),
                )  # fmt: skip
        return flow
