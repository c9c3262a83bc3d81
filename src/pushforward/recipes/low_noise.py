"""Low noise: how badly conditioned the velocity is there, and what a network's features are worth on clean data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.contracts import Pairs, Times
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, digits
from pushforward.metrics import energy_distance
from pushforward.networks import MLP, features
from pushforward.objectives import FlowMatching, LocalContrastive, Objective
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.training import Trainer, fit

__all__ = ["ConditionNumber", "LocalContrastiveDigits"]


@dataclass(frozen=True)
class ConditionNumber(Experiment):
    """The condition number of the velocity on a straight path at low noise: `|v - v'| / |x - x'|` of two states of one
    target point whose noise differs a little.

    Figures: the `slope` of its logarithm against that of sigma, from 0.3 down to 0.001; its value `at 0.1` and `at
    0.001`.
    """

    rows: int = 100

    def run(self, seed: int) -> Figures:
        """Take finite differences of the path's own target."""
        generator = seeded(seed, "pairs")
        x0, x1, shift = (torch.randn(self.rows, 4, generator=generator).double() for _ in range(3))
        sigma = torch.logspace(-0.5, -3, 26, dtype=torch.float64)
        kappa = torch.stack([self._kappa(x0, x1, 1e-3 * shift, 1 - s) for s in sigma])
        logs, centred = kappa.log(), sigma.log() - sigma.log().mean()
        return {
            "slope": float((logs * centred).sum() / centred.square().sum()),
            "at 0.1": float(kappa[(sigma - 0.1).abs().argmin()]),
            "at 0.001": float(kappa[-1]),
        }

    def _kappa(self, x0: Tensor, x1: Tensor, shift: Tensor, time: Tensor) -> Tensor:
        t = time.expand(len(x0))
        times = Times(t, t, torch.zeros_like(t))
        one, other = (Affine().point(Pairs(noise, x1), times) for noise in (x0, x0 + shift))
        return ((one.v - other.v).norm() / (one.x - other.x).norm()).detach()

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Affine"]


@dataclass(frozen=True)
class LocalContrastiveDigits(Experiment):
    """Fit flows to half of scikit-learn's digits as vectors, without labels, and read the digits off their features by
    a linear probe (ridge regression on the classes, trained on the same half), at several noise levels.

    Figures for both, `contrastive` and `plain` flow matching: `NAME probe@sigma`, the accuracy on the other half in
    points, its `NAME best` over the noise levels, and `NAME lost`, by how much the clean accuracy falls short of that;
    `NAME energy distance` to the other half after 16 Euler steps, the last of them the data prediction from t = 0.9 on;
    and the `gain` in clean accuracy.
    """

    layer: str = "hidden.0"
    steps: int = 1500
    levels: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)

    def run(self, seed: int) -> Figures:
        """Fit both, probe at every level, generate."""
        everything = digits()
        assert everything.condition is not None  # digits have labels
        order = torch.randperm(len(everything), generator=seeded(seed, "halves"))
        rows = order[: len(order) // 2], order[len(order) // 2 :]
        halves = [(everything.x[half].flatten(1), everything.condition["label"][half]) for half in rows]
        objectives = {"contrastive": LocalContrastive(self.layer), "plain": FlowMatching()}
        figures: Figures = {}
        for name, objective in objectives.items():
            found = self._figures(objective, halves, seed)
            figures |= {f"{name} {figure}": value for figure, value in found.items()}
        return figures | {"gain": figures["contrastive probe@0"] - figures["plain probe@0"]}

    def _figures(self, objective: Objective, halves: list[tuple[Tensor, Tensor]], seed: int) -> Figures:
        transport = fit(
            "gaussian", Empirical(halves[0][0]), network=MLP(width=256, depth=3), objective=objective,
            trainer=Trainer(steps=self.steps), seed=seed,
        )  # fmt: skip
        found = {level: self._probe(transport, halves, level, seed) for level in self.levels}
        noise = torch.randn(halves[1][0].shape, generator=seeded(seed, "noise"))
        made = transport.push(noise, grid=[*torch.linspace(0, 0.9, 16).tolist(), 1.0], method="euler")
        best = max(found.values())
        return {f"probe@{level:g}": accuracy for level, accuracy in found.items()} | {
            "best": best,
            "lost": best - found[0.0],
            "energy distance": float(energy_distance(made, halves[1][0])),
        }

    @torch.no_grad()
    def _probe(self, transport: FlowTransport, halves: list[tuple[Tensor, Tensor]], level: float, seed: int) -> float:
        read = [self._read(transport, x, level, seeded(seed, "probe", k)) for k, (x, _) in enumerate(halves)]
        centre, scale = read[0].mean(0), read[0].std(0) + 1e-6
        known, unknown = (F.pad((h - centre) / scale, (0, 1), value=1.0).double() for h in read)
        wanted = F.one_hot(halves[0][1], 10).double()
        gram = known.T @ known + 10.0 * torch.eye(known.shape[1]).double()
        weights = torch.linalg.solve(gram, known.T @ wanted)
        return 100 * float(((unknown @ weights).argmax(1) == halves[1][1]).double().mean())

    def _read(self, transport: FlowTransport, x: Tensor, level: float, generator: torch.Generator) -> Tensor:
        x1 = transport.target_frame.normalise(x)
        state = (1 - level) * x1 + level * torch.randn(x1.shape, generator=generator)
        with features(transport.field.network, self.layer) as reading:
            transport.field(state, torch.full((len(x),), 1 - level))
        return reading.pooled

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "LocalContrastive", "FlowMatching", "MLP"]
