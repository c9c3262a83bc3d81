"""Gibbs weights against their closed form between Gaussians, and what their tilt does to a flow."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.couplings import GibbsWeights
from pushforward.maps import Frame
from pushforward.measures import Gaussian
from pushforward.metrics import effective_share, energy_distance
from pushforward.networks import MLP
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.training import FramedSides, Trainer, fit

__all__ = ["GaussianTilt", "OffCentre"]


@dataclass(frozen=True)
class GaussianTilt(Experiment):
    """Weight pairs of N(0, 1) and N(1, 1) by `exp(-|x0 - x1|^2 / (2 epsilon))` and compare their moments.

    The weighted law is Gaussian with precision `[[1 + 1/epsilon, -1/epsilon], [-1/epsilon, 1 + 1/epsilon]]` and
    potential (0, 1). Figures: the largest error of a mean or variance over `epsilons` (`moment error`), and the
    effective share of the pairs at each (`share@EPSILON`).
    """

    epsilons: tuple[float, ...] = (0.5, 2.0, 8.0)
    pairs: int = 1_000_000

    def run(self, seed: int) -> Figures:
        """Draw pairs, weight them, compare."""
        generator = seeded(seed, "pairs")
        x0, x1 = (torch.randn(self.pairs, 1, generator=generator, dtype=torch.float64) + m for m in (0, 1))
        errors, figures = [], {}
        for epsilon in self.epsilons:
            pairs = GibbsWeights(2 * epsilon)(x0, x1, gaussian_source=True)  # the cost has no factor 1/2
            assert pairs.weight is not None
            errors.append(
                float((_moments(torch.cat([pairs.x0, pairs.x1], 1), pairs.weight) - _exact(epsilon)).abs().max())
            )
            figures[f"share@{epsilon:g}"] = float(effective_share(pairs.weight))
        return {"moment error": max(errors)} | figures

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["GibbsWeights"]


def _moments(points: Tensor, weight: Tensor) -> Tensor:
    """Return the means and variances of weighted points `(n, 2)`: `(2, 2)`."""
    weight = weight / weight.sum()
    mean = weight @ points
    return torch.stack([mean, weight @ (points - mean).square()])


def _exact(epsilon: float) -> Tensor:
    k = 1 / epsilon
    covariance = torch.tensor([[1 + k, -k], [-k, 1 + k]], dtype=torch.float64).inverse()
    return torch.stack([covariance @ torch.tensor([0.0, 1.0], dtype=torch.float64), covariance.diagonal()])


@dataclass(frozen=True)
class OffCentre(Experiment):
    """Fit flows from N(0, I) in the plane to a Gaussian off its centre, with weights that leave ever fewer pairs in
    effect.

    Figures, at each of `shares`: `energy distance@SHARE` of the pushed source to the target, and `tilt@SHARE`, the
    larger of the two total variations by which the weights move the marginals; `agreement`, the share of pairs of
    shares that both put in the same order.
    """

    shares: tuple[float, ...] = (0.9, 0.5, 0.2)
    steps: int = 1000
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit at every share, push fresh rows, compare."""
        source, target = Gaussian.standard(2), Gaussian([2.0, 0.0], [[0.25, 0.0], [0.0, 1.0]])
        frames = Frame((2,)), Frame((2,))
        x0, y = (m.sample(self.rows, generator=seeded(seed, "rows", i)) for i, m in enumerate((source, target)))
        tilts, distances = [], []
        for share in self.shares:
            rule = GibbsWeights(f"ess:{share}")
            transport = fit(
                source, target, coupling=rule, network=MLP(width=64, depth=2), normalise="none", seed=seed,
                trainer=Trainer(steps=self.steps, batch_size=512, learning_rate=5e-3),
            )  # fmt: skip
            prepared = rule.prepared(FramedSides((source, target), frames), generator=seeded(seed, "calibration"))
            tilt = prepared.tilt(x0[:2000], y[:2000])
            tilts.append(max(tilt.source, tilt.target))
            distances.append(float(energy_distance(transport.push(x0, steps=50), y)))
        figures = {f"tilt@{share}": value for share, value in zip(self.shares, tilts, strict=True)}
        figures |= {f"energy distance@{share}": value for share, value in zip(self.shares, distances, strict=True)}
        return figures | {"agreement": _agreement(tilts, distances)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["GibbsWeights", "FlowMatching", "MLP"]


def _agreement(first: list[float], second: list[float]) -> float:
    a, b = (torch.tensor(values) for values in (first, second))
    i, j = torch.triu_indices(len(a), len(a), 1)
    return float(((a[i] < a[j]) == (b[i] < b[j])).double().mean())
