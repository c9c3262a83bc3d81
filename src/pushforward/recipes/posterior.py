"""Symmetric flows in the plane, held against Bayes' rule."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Column
from pushforward.measures import Empirical, Gaussian, OneHot, PairedOracle
from pushforward.metrics import energy_distance
from pushforward.networks import MLP
from pushforward.objectives import SymmetricMatching
from pushforward.paths import CondOT, Symmetric
from pushforward.randomness import seeded
from pushforward.recipes.digits import labels_of
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["PosteriorInThePlane"]

MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [1.0, -1.0]])
VARIANCES = torch.tensor([[1.0, 0.5], [0.5, 1.0], [1.0, 1.0]])
PROBABILITY = torch.tensor([0.5, 0.2, 0.3])
LABEL = Column((0, 1, 2))


@dataclass(frozen=True)
class PosteriorInThePlane(Experiment):
    """Three overlapping Gaussian classes, whose posterior is known, at fresh points of them.

    Figures, root mean square errors of the probabilities after one step back: `exact error` with the exact velocity of
    the joint flow, `error` with a learned one, `error, 8 noises` on average over as many. And what the exact flow makes
    of a label in 100 steps: `exact generation`, the energy distance to its class on average over classes, and its
    `floor`, that of fresh points.
    """

    steps: int = 3000
    rows: int = 3000

    def run(self, seed: int) -> Figures:
        """Compare both flows with Bayes' rule."""
        trainer = Trainer(steps=self.steps, learning_rate=2e-3, ema=0.99)
        learned = fit(
            "gaussian", _classes(20_000, seed, "train"), network=MLP(width=128, depth=3), path=Symmetric(),
            objective=SymmetricMatching(), trainer=trainer, seed=seed,
        )  # fmt: skip
        fresh, other = (_classes(self.rows, seed, name) for name in ("fresh", "other"))
        truth = _posterior(fresh.x)
        found = {
            "exact error": _exact_step(fresh.x, seed),
            "error": learned.label(fresh.x, generator=seeded(seed, "one")).expected["label"],
            "error, 8 noises": learned.label(fresh.x, draws=8, generator=seeded(seed, "eight")).expected["label"],
        }
        errors = {name: float((value - truth).square().mean().sqrt()) for name, value in found.items()}
        made = _exact_generation(labels_of(fresh), seed)
        return errors | {
            "exact generation": _by_class(made, fresh), "exact generation floor": _by_class(other.x, fresh, other)
        }  # fmt: skip

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Symmetric", "SymmetricMatching", "OneHot", "PairedOracle", "MLP"]


def _classes(n: int, seed: int, name: str) -> Empirical:
    generator = seeded(seed, name)
    label = torch.multinomial(PROBABILITY, n, replacement=True, generator=generator)
    x = MEANS[label] + VARIANCES[label].sqrt() * torch.randn(n, 2, generator=generator)
    return Empirical(x, {"label": label})


def _posterior(x: Tensor) -> Tensor:
    classes = zip(MEANS, VARIANCES, PROBABILITY, strict=True)
    return torch.stack([Gaussian(m, v.diag()).log_prob(x) + p.log() for m, v, p in classes], 1).softmax(1)


def _exact() -> tuple[Symmetric, PairedOracle]:
    """Return the joint path of points and labels, and its exact velocity, labels spread out by 0.01."""
    hot, zero = 2 * torch.eye(3) - 1, torch.zeros(3, 3)
    source = torch.cat([torch.zeros(3, 2), hot], 1), torch.cat([torch.ones(3, 2), zero + 1e-4], 1)
    target = torch.cat([MEANS, zero], 1), torch.cat([VARIANCES, zero + 1], 1)
    return Symmetric().built((2,), {"label": LABEL}), PairedOracle(PROBABILITY, *source, *target, CondOT())


def _exact_step(x: Tensor, seed: int) -> Tensor:
    path, oracle = _exact()
    state = path.with_noise(x, generator=seeded(seed, "exact"))
    end = FixedStep("euler", 1).solve(oracle, state, start=1.0, end=0.0).x
    return OneHot().expected(path.read(end)["label"], LABEL)


def _exact_generation(label: Tensor, seed: int) -> Tensor:
    path, oracle = _exact()
    x0 = torch.randn(len(label), 2, generator=seeded(seed, "exact generation"))
    start = path.source_end.encode(x0, {"label": label})
    return path.target_end.decode(FixedStep("midpoint", 50).solve(oracle, start).x)


def _by_class(x: Tensor, truth: Empirical, drawn: Empirical | None = None) -> float:
    """Return the energy distance of points to those of the same class, on average over classes."""
    label, own = labels_of(truth), labels_of(truth if drawn is None else drawn)
    return sum(float(energy_distance(x[own == k], truth.x[label == k])) for k in range(3)) / 3
