"""Conditional generation in the plane: what transport pairs do to a source that must not know the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from pushforward.configuration import build
from pushforward.measures import Empirical, ring
from pushforward.metrics import energy_distance
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import fit_config

__all__ = ["ClassesInThePlane"]


@dataclass(frozen=True)
class ClassesInThePlane(Experiment):
    """Fit a conditional flow from N(0, I) to eight Gaussians on a circle, each a class, and compare class by class.

    Figures: `energy distance@N`, the mean over classes between the points made of a class by N Euler steps and fresh
    ones, and `worst class@N`; `class shift`, the largest mean of the source points that a class is paired with, 0 for a
    source that does not depend on the class.
    """

    config: dict[str, Any] = field(default_factory=dict)
    rows: int = 4000
    evaluations: tuple[int, ...] = (1, 2, 4, 8, 100)

    def run(self, seed: int) -> Figures:
        """Fit, push noise by class, compare."""
        data, truth = (_labelled(10_000 if name == "data" else self.rows, seed, name) for name in ("data", "truth"))
        transport = fit_config({"source": "gaussian", "target": data, "seed": seed} | self.config)
        noise = torch.randn(self.rows, 2, generator=seeded(seed, "noise"))
        figures: Figures = {"class shift": self._shift(data, seed)}
        label = _label(truth)
        for steps in self.evaluations:
            made = transport.push(noise, {"label": label}, steps=steps, method="euler")
            found = [float(energy_distance(made[label == k], truth.x[label == k])) for k in range(8)]
            figures |= {f"energy distance@{steps}": sum(found) / len(found), f"worst class@{steps}": max(found)}
        return figures

    def _shift(self, data: Empirical, seed: int) -> float:
        rows, noise = data.block(0, 2048, seed=seed), torch.randn(2048, 2, generator=seeded(seed, "shift"))
        scale = data.x.std()
        coupling = build(self.config["coupling"])
        pairs = coupling(noise, rows.x / scale, rows.condition, generator=seeded(seed, "pairs"))
        label = pairs.condition["label"]
        return max(float(pairs.x0[label == k].mean(0).norm()) for k in range(8))

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return class_names(self.config)


def _labelled(n: int, seed: int, name: str) -> Empirical:
    modes, generator = ring(), seeded(seed, name)
    label = torch.randint(8, (n,), generator=generator)
    spread = modes.covariances[0].diagonal()[0].sqrt()
    return Empirical(modes.means[label] + spread * torch.randn(n, 2, generator=generator), {"label": label})


def _label(measure: Empirical) -> torch.Tensor:
    assert measure.condition is not None  # made with labels
    return measure.condition["label"]
