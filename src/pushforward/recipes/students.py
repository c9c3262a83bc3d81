"""Students of one flow, made in several ways at the same budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.distillation import Distillation, distil
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Measure, as_measure
from pushforward.metrics import mmd2
from pushforward.randomness import seeded
from pushforward.recipes.distances import sliced
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import GridSolver, choose_solver
from pushforward.training import Trainer, fit_config

__all__ = ["Students"]

ROWS, KERNEL_ROWS = 10_000, 1000


@dataclass(frozen=True)
class Students(Experiment):
    """Train a flow, and distil it by each of several `methods` in as many steps of training.

    `config` holds arguments of `fit`, for the teacher, `trainer` the options of each distillation. Of a finite target
    one half is held out. Figures against that, or against fresh points, of NAME in N = 1, 2, 4 evaluations (`teacher`:
    in 1 and 100 Euler steps), told the conditions of those points: `sliced W2@N NAME` and `MMD^2@N NAME`, and their
    `floor`, between two samples of the target.
    """

    config: dict[str, Any]
    methods: dict[str, dict[str, Any]]
    trainer: dict[str, Any] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Train all of them and measure each."""
        known, fresh = _halves(as_measure(build(self.config["target"])), seed)
        source = as_measure(build(self.config["source"]), like=known)
        x0, told = source.sample(len(fresh), generator=seeded(seed, "noise")), fresh.condition
        figures = _figures(" floor", known.sample(len(fresh), generator=seeded(seed, "known")), fresh.x)
        teacher = fit_config(self.config | {"target": known, "seed": seed})
        for steps in (1, 100):
            figures |= _figures(f"@{steps} teacher", teacher.push(x0, told, steps=steps, method="euler"), fresh.x)
        for name, description in self.methods.items():
            student = self._student(teacher, build(description), source, known, seed)
            assert isinstance(student.solver, GridSolver)
            for steps in (1, 2, 4):
                solver, generator = choose_solver(student.solver, steps=steps), seeded(seed, "jumps")
                moved = student.solve(x0, told, solver=solver, generator=generator).x.detach()
                figures |= _figures(f"@{steps} {name}", moved, fresh.x)
        return figures

    def _student(
        self, teacher: FlowTransport, method: Distillation, source: Measure, target: Measure, seed: int
    ) -> FlowTransport:
        trainer = Trainer(**self.trainer)
        return distil(teacher, method, steps=1, source=source, target=target, trainer=trainer, seed=seed)

    def pieces(self) -> list[str]:
        """Return the classes used."""
        own = ["SelfGenerated", "TrajectoryPairs", "JumpMatching", "MeanFlow", "TwoTimes", "Jump"]
        return [
            *class_names(self.config),
            *(name for each in self.methods.values() for name in class_names(each)),
            *own,
        ]


def _halves(target: Measure, seed: int) -> tuple[Measure, Empirical]:
    """Return what is trained on, and points to compare with."""
    if not isinstance(target, Empirical):
        return target, Empirical(target.sample(ROWS, generator=seeded(seed, "fresh")))
    order = torch.randperm(len(target), generator=seeded(seed, "halves"))
    half = len(order) // 2
    return target[order[:half]], target[order[half:]]


def _figures(name: str, x: Tensor, y: Tensor) -> Figures:
    x, y = x.flatten(1), y.flatten(1)
    return {f"sliced W2{name}": sliced(x, y), f"MMD^2{name}": float(mmd2(x[:KERNEL_ROWS], y[:KERNEL_ROWS]))}
