"""Leave-one-time-out: learn from the first to the last snapshot of a growing population, predict the one between."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pushforward.measures import Measure, read
from pushforward.metrics import wasserstein2
from pushforward.ot import solve
from pushforward.recipes.data import data_folder
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import fit_config

__all__ = ["LeaveOneTimeOut"]


@dataclass(frozen=True)
class LeaveOneTimeOut(Experiment):
    """Fit a flow from the first snapshot to the last and compare its state at `time` with the held-out snapshot.

    Figures: `W2` of the prediction; `W2 floor`, half of the held-out cells against the other half; `W2 nearest
        snapshot`, the better of just repeating the first or the last snapshot; `W2 straight lines`, the interpolation
        along the exact plan of a sample of both. Files are looked for in the folder that the environment variable
        PUSHFORWARD_DATA names.
    """

    first: str
    held_out: str
    last: str
    time: float = 0.5
    rows: int = 1000
    config: dict[str, Any] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Fit with this seed and measure on up to `rows` cells of each snapshot."""
        folder = data_folder() or Path()
        first, held_out, last = (read(str(folder / spec)) for spec in (self.first, self.held_out, self.last))
        transport = fit_config({"source": first, "target": last, "seed": seed} | self.config)
        rows = min(self.rows, len(first), len(last), len(held_out) // 2)
        x0, x1 = self._some(first, rows, seed), self._some(last, rows, seed)
        truth, fresh = (held_out.block(index, rows, seed=seed).x for index in (0, 1))
        predicted = transport.trajectory(x0, times=torch.tensor([0.0, self.time, 1.0])).path
        assert predicted is not None
        straight = torch.lerp(x0[solve(x0, x1).sample_sources()], x1, self.time)
        candidates = {"W2": predicted[1].to(truth), "W2 floor": fresh, "W2 straight lines": straight}
        figures = {name: float(wasserstein2(points, truth)) for name, points in candidates.items()}
        return figures | {"W2 nearest snapshot": min(float(wasserstein2(x, truth)) for x in (x0, x1))}

    @staticmethod
    def _some(measure: Measure, rows: int, seed: int) -> torch.Tensor:
        return measure.block(0, rows, seed=seed).x

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return class_names(self.config)
