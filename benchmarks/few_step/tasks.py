"""What the methods are tried on, and how far their ends are from fresh points of the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from benchmarks.quality import moons_of_torchcfm
from pushforward.measures import (
    Empirical,
    Gaussian,
    GaussianMixture,
    Measure,
    as_measure,
    digits,
    eight_gaussians_torchcfm,
    ring,
)
from pushforward.metrics import energy_distance, wasserstein2
from pushforward.networks import MLP, Architecture
from pushforward.randomness import seeded

__all__ = ["ByClass", "Planar", "Task", "by_class", "even_mixture", "even_normal", "tasks"]

DRAWS = 4
Even: TypeAlias = Callable[[int], Tensor]
"""From a number to points of a law that are spread evenly."""


@dataclass(frozen=True)
class Task:
    """Two distributions, the network of every method, source points to push, with conditions, and `judge`."""

    name: str
    source: Measure
    target: Measure
    network: Architecture
    x0: Tensor
    condition: dict[str, Tensor] | None
    judge: Planar | ByClass

    @property
    def floor(self) -> float:
        """The distance of points of the target that nobody pushed."""
        return self.judge(self.judge.perfect)


@dataclass(frozen=True)
class Planar:
    """Exact W2 of as many points as of the target, `DRAWS` times; their mean."""

    target: Tensor
    perfect: Tensor
    measure: str = "W2"

    def __call__(self, made: Tensor) -> float:
        parts = zip(made.chunk(DRAWS), self.target.chunk(DRAWS), strict=True)
        return sum(float(wasserstein2(x, y)) for x, y in parts) / DRAWS


@dataclass(frozen=True)
class ByClass:
    """The energy distance to held-out points of the same class, on average over the classes."""

    target: Tensor
    of_target: Tensor
    perfect: Tensor
    of_perfect: Tensor
    measure: str = "energy distance"

    def __call__(self, made: Tensor) -> float:
        classes = self.of_target.unique()
        distances = [
            float(energy_distance(made[self.of_perfect == k], self.target[self.of_target == k])) for k in classes
        ]
        return sum(distances) / len(distances)


def tasks(smoke: bool) -> list[Task]:
    """Return the three tasks, the same for every seed of the training; in a smoke run one."""
    n = 24 if smoke else 1024
    eight, moons, circle = eight_gaussians_torchcfm(), as_measure("moons-torchdyn"), ring()
    planar, wide = MLP(8 if smoke else 128, 3), MLP(8 if smoke else 256, 3)
    arcs = seeded(0, "few steps", "moons")
    found = [
        _planar(
            "8 gaussians to moons", eight, moons, planar, lambda k: even_mixture(eight, n, k),
            lambda _: moons_of_torchcfm(n, generator=arcs),
        ),
        _planar(
            "noise to the ring of 8", Gaussian.standard(2), circle, planar, lambda k: even_normal(n, k),
            lambda k: even_mixture(circle, n, k),
        ),
        by_class("noise to digits by class", wide),
    ]  # fmt: skip
    return found[1:2] if smoke else found


def even_normal(n: int, number: int) -> Tensor:
    """Return `(n, 2)` points that are standard normal each, and together spread evenly (Sobol, scrambled by
    `number`).
    """
    uniform = SobolEngine(2, scramble=True, seed=number).draw(n, dtype=torch.float64)
    return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)).float()


def even_mixture(mixture: GaussianMixture, n: int, number: int) -> Tensor:
    """Return as many even points of every Gaussian of a mixture of equal weights, n in all."""
    modes = len(mixture.means)
    factors = torch.linalg.cholesky(mixture.covariances)
    parts = [
        mean + even_normal(n // modes, modes * number + k) @ factor.mT
        for k, (mean, factor) in enumerate(zip(mixture.means, factors, strict=True))
    ]
    return torch.cat(parts)


def _planar(name: str, source: Measure, target: Measure, network: Architecture, start: Even, end: Even) -> Task:
    x0, fresh, perfect = (
        torch.cat([draw(DRAWS * part + k) for k in range(DRAWS)]) for part, draw in enumerate((start, end, end))
    )
    return Task(name, source, target, network, x0, None, Planar(fresh, perfect))


def by_class(name: str, network: Architecture) -> Task:
    """Half of the digits to learn from; as many of each class are then made, and compared with the other half."""
    everything = digits()
    assert everything.condition is not None
    x, labels = everything.x.flatten(1), everything.condition["label"]
    known, held_out = torch.randperm(len(x), generator=seeded(0, "halves")).chunk(2)
    noise = Gaussian.standard(64)
    return Task(
        name, noise, Empirical(x[known], {"label": labels[known]}), network,
        noise.sample(len(known), generator=seeded(0, "few steps", "noise")), {"label": labels[known]},
        ByClass(x[held_out], labels[held_out], x[known], labels[known]),
    )  # fmt: skip
