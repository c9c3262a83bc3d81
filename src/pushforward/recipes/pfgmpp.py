"""PFGM++: heavy-tailed perturbations are a Student t source, from Poisson flows at D = 1 to diffusion at infinity."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import special
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.measures import Gaussian, Measure, PointOracle, StudentT, as_measure, eight_gaussians
from pushforward.metrics import energy_distance
from pushforward.paths import LinearVE, Schedule
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import FixedStep, NoiseLevels
from pushforward.tensors import bcast
from pushforward.training import fit_config

__all__ = ["FieldNoise", "MemorisedPoints", "PerturbationRadius"]


@dataclass(frozen=True)
class PerturbationRadius(Experiment):
    """Draw from Student t laws of D degrees of freedom in N dimensions and compare their radii with the perturbation of
    PFGM++, whose `R^2 / (R^2 + D)` is Beta(N / 2, D / 2) at sigma = 1.

    Figures, the largest over D: `distribution error`, the Kolmogorov distance times sqrt(rows), 1.63 at the 1 % level;
        `median error`, relative; `density error`, relative, of `log_prob` against `p_r(R) / (area R^(N-1))`; and
        `diffusion error`, the relative difference of the median at `D = 1e6` from that of N(0, I).
    """

    dimensions: tuple[int, ...] = (2, 64)
    degrees: tuple[float, ...] = (1.0, 8.0, 128.0, 1e6)
    rows: int = 50_000

    def run(self, seed: int) -> Figures:
        """Sample and compare."""
        cases = [(n, d) for n in self.dimensions for d in self.degrees]
        checked = [self._compare(n, d, seed) for n, d in cases]
        names = ("distribution error", "median error", "density error")
        figures = {name: max(values) for name, values in zip(names, zip(*checked, strict=True), strict=True)}
        errors = [abs(_median(n, 1e6) / math.sqrt(2 * special.gammaincinv(n / 2, 0.5)) - 1) for n in self.dimensions]
        return figures | {"diffusion error": max(errors)}

    def _compare(self, n: int, d: float, seed: int) -> tuple[float, float, float]:
        measure = StudentT(torch.zeros(n, dtype=torch.float64), degrees=d)
        x = measure.sample(self.rows, generator=seeded(seed, "radius", n))
        radius = x.norm(dim=1).sort().values.numpy()
        exact = special.betainc(n / 2, d / 2, radius**2 / (radius**2 + d))
        steps = np.arange(1, self.rows + 1) / self.rows
        distance = float(np.abs(exact - steps).max()) * math.sqrt(self.rows)
        return distance, abs(float(np.median(radius)) / _median(n, d) - 1), self._density_error(measure, n, d)

    @staticmethod
    def _density_error(measure: StudentT, n: int, d: float) -> float:
        radius = torch.linspace(0.2, 3.0, 20, dtype=torch.float64) * math.sqrt(n)
        x = torch.zeros(20, n, dtype=torch.float64)
        x[:, 0] = radius
        # p_r(R) = 2 d^(d/2) / B(n/2, d/2) R^(n-1) (R^2 + d)^(-(n+d)/2), spread over the sphere of radius R
        log_area = math.log(2) + n / 2 * math.log(math.pi) - math.lgamma(n / 2)
        log_beta = math.lgamma(n / 2) + math.lgamma(d / 2) - math.lgamma((n + d) / 2)
        log_radial = math.log(2) - n / 2 * math.log(d) - (n + d) / 2 * torch.log1p(radius.square() / d) - log_beta
        return float((measure.log_prob(x) - (log_radial - log_area)).expm1().abs().max())

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["StudentT"]


def _median(n: int, d: float) -> float:
    b = special.betaincinv(n / 2, d / 2, 0.5)
    return float(np.sqrt(d * b / (1 - b)))


@dataclass(frozen=True)
class MemorisedPoints(Experiment):
    """Follow the exact field of 200 points with EDM's Heun steps on its grid, for several D; infinity is diffusion.

    Figures: `distance@D`, the largest distance of a sample from the nearest point, and `share@D`, the share of points
        that some sample of `rows` reached.
    """

    degrees: tuple[float, ...] = (8.0, 128.0, math.inf)
    points: int = 200
    rows: int = 2000
    steps: int = 18

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Sample from the exact field."""
        points = eight_gaussians().sample(self.points, generator=seeded(seed, "points")).double()
        points, figures = 0.5 * points / points.std(), {}
        for degrees in self.degrees:
            source = _noise(points[0], degrees)
            x = LinearVE().sigma_max * source.sample(self.rows, generator=seeded(seed, "noise"))
            reached = FixedStep("heun", self.steps, NoiseLevels()).solve(PointOracle(source, points, LinearVE()), x).x
            nearest = torch.cdist(reached, points).min(1)
            figures |= {
                f"distance@{degrees:g}": float(nearest.values.max()),
                f"share@{degrees:g}": len(nearest.indices.unique()) / self.points,
            }
        return figures

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["StudentT", "PointOracle", "LinearVE", "NoiseLevels", "FixedStep"]


def _noise(point: Tensor, degrees: float) -> Measure:
    zero = torch.zeros_like(point)
    return Gaussian(zero) if math.isinf(degrees) else StudentT(zero, degrees=degrees)


@dataclass(frozen=True)
class FieldNoise(Experiment):
    """Fit a flow and follow its field with errors added: noise of deviation `alpha` on the denoiser's answer at every
    evaluation, or of `alpha sigma`, as a relative error of the noise it removes (paper, figure 5).

    Figures: `energy distance` to the target of `rows` samples, and `rise@alpha` by how much it grows with the error in
        the denoiser, `relative rise@alpha` with the one in proportion to sigma.
    """

    config: dict[str, Any]
    alphas: tuple[float, ...] = (0.1, 0.2)
    rows: int = 1000
    steps: int = 18
    schedule: Schedule = field(default_factory=LinearVE)

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Fit with this seed, sample with and without errors."""
        target = as_measure(self.config["target"])
        with torch.enable_grad():
            transport = fit_config(self.config | {"seed": seed})
        source = as_measure(self.config["source"], like=target)
        x0 = source.sample(self.rows, generator=seeded(seed, "source"))
        state = transport.field.path.source_end.encode(x0)
        truth = target.block(0, self.rows, seed=seed).x

        def distance(alpha: float, relative: bool) -> float:
            disturbed = _Disturbed(transport.field, self.schedule, alpha, relative, seeded(seed, "errors"))
            reached = FixedStep("heun", self.steps, NoiseLevels(schedule=self.schedule)).solve(disturbed, state).x
            return float(energy_distance(transport.target_frame.restore(reached), truth))

        clean = distance(0.0, False)
        return {
            "energy distance": clean,
            **{f"rise@{alpha:g}": distance(alpha, False) - clean for alpha in self.alphas},
            **{f"relative rise@{alpha:g}": distance(alpha, True) - clean for alpha in self.alphas},
        }

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return ["StudentT", *class_names(self.config)]


@dataclass(frozen=True)
class _Disturbed:
    """A velocity whose denoiser errs by Gaussian noise."""

    field: VelocityField
    schedule: Schedule
    alpha: float
    relative: bool
    generator: torch.Generator

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        c = self.schedule(t.clamp(max=1 - 1e-5))
        size = c.delta * self.alpha / (1 if self.relative else c.sigma)
        noise = torch.randn(x.shape, generator=self.generator, dtype=x.dtype)
        return self.field.velocity(x, t) + bcast(size, x) * noise

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.field.score(x, t, condition)
