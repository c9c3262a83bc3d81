"""Semi-discrete transport: cells of a line against quantiles, and a start for few-step generation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, ring
from pushforward.metrics import sliced_wasserstein2
from pushforward.ot.semidiscrete.fit import semidiscrete
from pushforward.paths import CondOT
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep

__all__ = ["CellStart", "QuantileCells"]


@dataclass(frozen=True)
class QuantileCells(Experiment):
    """Transport N(0, 1) onto `points` random points of random weights on the line, where the cells are known.

    They end at the quantiles of the weights' cumulative sums. Figure: the largest error of an end (`boundary error`).
    """

    points: int = 10
    iterations: int = 2000

    def run(self, seed: int) -> Figures:
        """Compare the ends of the cells with the quantiles."""
        generator = seeded(seed, "line")
        y = torch.randn(self.points, generator=generator, dtype=torch.float64).sort().values
        b = torch.rand(self.points, generator=generator, dtype=torch.float64) + 0.5
        b = b / b.sum()
        source = Gaussian(torch.zeros(1, dtype=torch.float64))
        plan = semidiscrete(source, y[:, None], b, iterations=self.iterations, generator=generator)
        height = y.square() - plan.g
        ends = height.diff() / (2 * y.diff())
        exact = torch.special.ndtri(b.cumsum(0)[:-1])
        return {"boundary error": float((ends - exact).abs().max())}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["semidiscrete"]


@dataclass(frozen=True)
class CellStart(Experiment):
    """Generate eight modes of unequal weights on a circle by few Euler steps with the exact velocity, from noise and
    from the semi-discrete image of noise among `noise`-blurred data, late on the path.

    Figures: `cell variation`, the total variation of the cells' masses from uniform on held-out draws, and its
        `floor`; `empty cells`; for the starts `cells` and `noise` after N evaluations the sliced W2 to the data
        (`cells SW@N`), the total variation of the modes' shares (`cells modes@N`) and the share of points more than
        four deviations from every mode (`cells between@N`); `nearest data` and `nearest data, fresh`, the mean
        distance to the nearest data point after the most evaluations, and that of fresh draws: a start from stored
        points cannot leave them far behind.
    """

    noise: float = 0.3
    evaluations: tuple[int, ...] = (2, 3, 4, 6, 8)
    iterations: int = 1000
    rows: int = 10_000

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Fit the cells, then walk from both starts."""
        generator, source = seeded(seed, "cells"), Gaussian.standard(2)
        counts = torch.tensor([8, 16, 24, 32, 32, 40, 48, 56])
        modes = ring()
        target = GaussianMixture(modes.means, modes.covariances, counts / counts.sum())
        data = modes.means.repeat_interleave(counts, 0) + 0.15 * source.sample(int(counts.sum()), generator=generator)
        start = 1 / (1 + self.noise)  # where sigma / alpha is `noise` on the straight path
        blurred = start * data + (1 - start) * source.sample(len(data), generator=generator)
        plan = semidiscrete(source, blurred, iterations=self.iterations, generator=generator)
        figures = {
            "cell variation": plan.marginal_error, "cell variation floor": plan.sampling_floor,
            "empty cells": float((plan.cells == 0).sum()),
        }  # fmt: skip
        oracle, x = AffineOracle(source, target, CondOT()), source.sample(self.rows, generator=generator)
        made = x
        for name, points, time in (("noise", x, 0.0), ("cells", plan.map(x), start)):
            for steps in self.evaluations:
                made = FixedStep("euler", steps).solve(oracle, points, start=time).x
                found = _compare(made, data, target, seed)
                figures |= {f"{name} {figure}@{steps}": value for figure, value in found.items()}
        fresh = target.sample(self.rows, generator=generator)
        return figures | {"nearest data": _nearest(made, data), "nearest data, fresh": _nearest(fresh, data)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["semidiscrete", "AffineOracle", "CondOT", "FixedStep"]


def _compare(made: Tensor, data: Tensor, target: GaussianMixture, seed: int) -> Figures:
    distance, mode = torch.cdist(made, target.means).min(1)
    shares = torch.bincount(mode, minlength=len(target.means)) / len(made)
    return {
        "SW": float(sliced_wasserstein2(made, data, generator=seeded(seed, "directions"))),
        "modes": float((shares - target.weights).abs().sum() / 2),
        "between": float((distance > 0.6).double().mean()),
    }


def _nearest(made: Tensor, data: Tensor) -> float:
    return float(torch.cdist(made, data).amin(1).mean())
