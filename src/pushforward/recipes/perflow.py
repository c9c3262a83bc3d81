"""A flow made straight in windows of time, against its teacher in as many steps, and its weights given to a sibling."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from pushforward.distillation import PerFlow, Transplant, distil
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Measure, as_measure
from pushforward.networks import MLP
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square, sliced
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.recipes.rotations import rotation
from pushforward.training import Trainer, fit

__all__ = ["WindowedStudents"]

TURN = 0.3
"""Radians by which the sibling's target is turned."""


@dataclass(frozen=True)
class WindowedStudents(Experiment):
    """Train a flow from noise to the ring of eight Gaussians, and make of it students straight in four windows: one
    told its window, and one `untold`, by `steps` more of training each.

    Figures, on 10,000 points and for N = 4 and 8 Euler steps of the teacher and of each student: `error@N NAME`, the
    root mean square distance from where the teacher exactly carries the same noise, and `sliced W2@N NAME` to the ring
    (`floor`: of two samples of it, and `sliced W2 teacher` followed exactly). A `sibling` is the teacher fine-tuned for
    `tuning` steps to the ring turned by 0.3 radians: its figures at four steps, and those of what it becomes when the
    change of the told student's weights is added (`transplanted`), are against the sibling's own flow.
    """

    training: int = 3000
    steps: int = 1500
    tuning: int = 500
    width: int = 128

    def run(self, seed: int) -> Figures:
        """Train all of them and measure each."""
        ring = as_measure("ring")
        trainer = Trainer(steps=self.training, batch_size=256, learning_rate=2e-3, ema=0.995)
        teacher = fit("gaussian", ring, network=MLP(self.width), normalise="none", trainer=trainer, seed=seed)
        x0 = torch.randn(10_000, 2, generator=seeded(seed, "noise"))
        x1, fresh = (ring.sample(len(x0), generator=seeded(seed, name)) for name in ("target", "fresh"))
        exact = teacher.push(x0, tolerance=1e-6)
        found = {"floor": sliced(fresh, x1), "sliced W2 teacher": sliced(exact, x1)}
        with TemporaryDirectory() as folder:
            student = self._student(teacher, ring, True, seed, Path(folder))
            found |= self._siblings(teacher, ring, folder, x0, seed)
        flows = {"teacher": teacher, "student": student, "untold": self._student(teacher, ring, False, seed)}
        for name, flow in flows.items():
            for steps in (4, 8):
                moved = _pushed(flow, x0, steps)
                found |= {
                    f"error@{steps} {name}": root_mean_square(moved, exact),
                    f"sliced W2@{steps} {name}": sliced(moved, x1),
                }
        return found

    def _student(
        self, teacher: FlowTransport, target: Measure, told: bool, seed: int, out: Path | None = None
    ) -> FlowTransport:
        trainer = Trainer(steps=self.steps, batch_size=256, learning_rate=1e-3, ema=0.995)
        return distil(
            teacher, PerFlow(4, told), steps=4, source="gaussian", target=target, trainer=trainer, seed=seed, out=out,
            overwrite=True, show_progress=False,
        )  # fmt: skip

    def _siblings(self, teacher: FlowTransport, ring: Measure, student: str, x0: Tensor, seed: int) -> Figures:
        turned = Empirical(ring.sample(20_000, generator=seeded(seed, "turned")) @ rotation(TURN))
        trainer = Trainer(steps=self.tuning, batch_size=256, learning_rate=5e-4, ema=0.995)
        sibling = fit("gaussian", turned, init=teacher, trainer=trainer, seed=seed + 1)
        moved = distil(sibling, Transplant(student), steps=4, source="gaussian", target=turned)
        exact = sibling.push(x0, tolerance=1e-6)
        return {
            "error@4 sibling": root_mean_square(_pushed(sibling, x0, 4), exact),
            "error@4 transplanted": root_mean_square(_pushed(moved, x0, 4), exact),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["PerFlow", "WindowedReflow", "InWindows", "Windows", "Transplant", "FlowMatching", "MLP"]


def _pushed(flow: FlowTransport, x: Tensor, steps: int) -> Tensor:
    return flow.push(x, steps=steps, method="euler")
