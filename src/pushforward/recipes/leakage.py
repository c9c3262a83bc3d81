"""Conditional image leakage: a later start from the target's moments, and noise on the condition by time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.maps import Frame, Start
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture
from pushforward.networks import MLP
from pushforward.objectives import FlowMatching, TimeNoise
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import DormandPrince
from pushforward.training import Trainer, fit

__all__ = ["ConditionLeakage", "LaterStart", "LearnedLaterStart"]

MODES = GaussianMixture([[1.0], [3.0]], [[[0.09]], [[0.09]]])
"""Two modes of deviation 0.3 on the line, far from the mean and deviation of the noise."""


def _stratified_normal(rows: int, seed: int) -> Tensor:
    """Draw standard normals `(rows, 1)` at evenly spaced quantiles with one random offset."""
    u = torch.rand(1, generator=seeded(seed, "offset"), dtype=torch.float64)
    return torch.special.ndtri((torch.arange(rows, dtype=torch.float64) + u) / rows)[:, None]


@dataclass(frozen=True)
class LaterStart(Experiment):
    """Follow the exact field of two modes at 1 and 3, of deviation 0.3, from the times `begins` on.

    Figures at each time, over `rows`: `W1 analytic@t`, the 1-Wasserstein distance of where the analytic Gaussian
        arrives from the target; `W1 noise@t` for starting there from N(0, 1); and, the largest over the times, `KL
        excess`, by how much the KL divergence of the marginal from the analytic Gaussian exceeds the least of any
        Gaussian, by quadrature.
    """

    begins: tuple[float, ...] = (0.1, 0.2, 0.3, 0.5)
    rows: int = 2000

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Integrate from each start; on the line the sorted points are the optimal pairs."""
        path = Affine()
        oracle = AffineOracle(Gaussian.standard(1), MODES, path.schedule)
        x0 = _stratified_normal(self.rows, seed)
        truth = oracle.flow_map(x0, 0.0, 1.0)
        mean, variance = MODES.mean, float(MODES.covariance)
        figures, excess = {}, []
        for begin in self.begins:
            start = Start(begin, mean, variance)
            for name, state in (("analytic", start.state(path, x0, Frame((1,)))), ("noise", x0)):
                end = DormandPrince().solve(oracle, state, start=begin).x
                figures[f"W1 {name}@{begin:g}"] = float((end - truth).abs().mean())
            excess.append(self._excess(oracle, start, path))
        return figures | {"KL excess": max(excess)}

    @staticmethod
    def _excess(oracle: AffineOracle, start: Start, path: Affine) -> float:
        """Compare the cross-entropy of the analytic Gaussian with those of its neighbours."""
        grid = torch.linspace(-8, 10, 4001, dtype=torch.float64)[:, None]
        density = oracle.log_prob(grid, torch.full((len(grid),), start.time, dtype=torch.float64)).exp()
        ends = start.state(path, torch.tensor([[0.0], [1.0]], dtype=torch.float64), Frame((1,)))
        centre, deviation = float(ends[0]), float(ends[1] - ends[0])

        def cross_entropy(mean: float, std: float) -> float:
            log_prob = torch.distributions.Normal(mean, std).log_prob(grid[:, 0])
            return -float(torch.trapezoid(density * log_prob, grid[:, 0]))

        shifts, factors = (-0.05, 0.0, 0.05), (0.95, 1.0, 1.05)
        least = min(cross_entropy(centre + shift, factor * deviation) for shift in shifts for factor in factors)
        return cross_entropy(centre, deviation) - least

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Start", "AffineOracle", "DormandPrince"]


@dataclass(frozen=True)
class LearnedLaterStart(Experiment):
    """Fit a flow to the two modes and push noise from the time `begin` on.

    Figures: `W1 analytic` with the moments that the transport holds, `W1 given` with those of fresh target points, `W1
        noise` from N(0, 1) in the units of the network, and `W1 whole` from t = 0.
    """

    begin: float = 0.3
    steps: int = 1000
    rows: int = 2000

    def run(self, seed: int) -> Figures:
        """Fit with this seed and push the same noise from each start."""
        transport = fit(
            "gaussian", MODES, network=MLP(width=64, depth=2), trainer=Trainer(steps=self.steps), seed=seed,
            show_progress=False,
        )  # fmt: skip
        x0 = _stratified_normal(self.rows, seed).float()
        truth = AffineOracle(Gaussian.standard(1), MODES, Affine().schedule).flow_map(x0, 0.0, 1.0)
        points, frame = MODES.sample(5000, generator=seeded(seed, "points")), transport.target_frame
        unit_variance = (1 - (1 - self.begin) ** 2) / self.begin**2 * float(frame.scale) ** 2
        starts = {
            "whole": None,
            "analytic": self.begin,
            "given": Start.analytic(self.begin, points),
            "noise": Start(self.begin, frame.shift, unit_variance),
        }
        return {
            f"W1 {name}": float((transport.push(x0, begin=start).sort(0).values - truth).abs().mean())
            for name, start in starts.items()
        }

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "FlowMatching", "MLP", "Start"]


@dataclass(frozen=True)
class ConditionLeakage(Experiment):
    """A synthetic video: the target is the condition, `N(0, 4 I)`, plus a motion from N(0, I), in `size` dimensions.
    Fit briefly, with noise of at most `maximum` on the condition where that is given, and generate from clean ones.

    Figures: `motion variance` (the truth is 1) and its `motion error`; `correlation` with the condition (the truth is
        0.894) and its relative `correlation error`.
    """

    maximum: float | None = None
    size: int = 8
    rows: int = 4096
    steps: int = 2000

    def run(self, seed: int) -> Figures:
        """Fit with this seed, generate for fresh conditions."""
        law = None if self.maximum is None else TimeNoise(maximum=self.maximum)
        condition, x = self._draw(self.rows, seed, "train")
        transport = fit(
            "gaussian", x, condition=condition, network=MLP(width=128, depth=2), seed=seed, show_progress=False,
            objective=FlowMatching(condition_law=law),
            trainer=Trainer(steps=self.steps, warmup=20, ema=0.99),
        )  # fmt: skip
        condition, _ = self._draw(2000, seed, "fresh")
        noise = torch.randn(condition.shape, generator=seeded(seed, "noise"))
        generated = transport.push(noise, {"condition": condition}, steps=16)
        variance = float((generated - condition).var(0).mean())
        both = torch.stack([generated - generated.mean(0), condition - condition.mean(0)])
        correlation = float(both.prod(0).mean() / both.square().mean((1, 2)).prod().sqrt())
        return {
            "motion variance": variance,
            "motion error": abs(variance - 1),
            "correlation": correlation,
            "correlation error": abs(correlation / 0.8**0.5 - 1),
        }

    def _draw(self, rows: int, seed: int, name: str) -> tuple[Tensor, Tensor]:
        drawn = torch.randn(2, rows, self.size, generator=seeded(seed, name))
        return 2 * drawn[0], 2 * drawn[0] + drawn[1]

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "FlowMatching", "MLP", *([] if self.maximum is None else ["TimeNoise"])]
