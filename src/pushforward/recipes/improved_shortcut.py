"""The parts of the improved training of shortcut models, one by one: guidance, errors by band, pools of pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, cast

import torch
from torch import Tensor

from pushforward.conditions import Condition, drop_rows
from pushforward.configuration import build
from pushforward.couplings import MinibatchOT
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Empirical, Gaussian, GaussianMixture, ring
from pushforward.networks import ClassifierFree, Field
from pushforward.objectives import Shortcut, SquaredError, Wavelet
from pushforward.paths import CondOT
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import FixedStep
from pushforward.training import fit_config

__all__ = ["ClassesOnTheLine", "DetailGradients", "GuidedAtEveryLevel", "PooledPairs"]

ROWS, SPREAD = 20_000, 0.5


@dataclass(frozen=True)
class GuidedAtEveryLevel(Shortcut):
    """What the improved training avoids: classifier-free guidance of scale `omega` in the targets of every level, which
    is applied again to what was guided at the level below.
    """

    omega: float = 2.0

    def with_targets_of(self, average: Field) -> Self:
        """Return this objective with guided targets."""
        return super().with_targets_of(cast(Field, _Guided(average, self.omega)))


@dataclass(frozen=True)
class _Guided:
    """A flow map, guided."""

    field: Field
    omega: float

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None = None) -> Tensor:
        null = self.field.mean_velocity(x, s, e, drop_rows(condition, 1.0))
        return torch.lerp(null, self.field.mean_velocity(x, s, e, condition), self.omega)


@dataclass(frozen=True)
class ClassesOnTheLine(Experiment):
    """Two classes, N(1, 1/4) and N(-1, 1/4), from N(0, 1), guided in one jump and in 64 Euler steps of the exact
    velocity.

    Figures: `mean@W` of class 1 with scale W = 1, 2, 3, `exact mean@W`, and `error`, the largest relative difference of
    both; `mean at every level`, trained with scale 2 in the targets of every level, over the exact one (`overshoot`).
    """

    config: dict[str, Any]
    intrinsic: dict[str, Any]
    every_level: dict[str, Any]

    def run(self, seed: int) -> Figures:
        """Train both and measure them."""
        label = torch.arange(4000) % 2
        noise = torch.randn(4000, 1, generator=seeded(seed, "data"))
        data = Empirical(2.0 * label[:, None] - 1 + SPREAD * noise, {"label": label})
        told, compounded = (
            fit_config(self.config | {"target": data, "objective": each, "seed": seed})
            for each in (self.intrinsic, self.every_level)
        )
        x = torch.randn(ROWS, 1, generator=seeded(seed, "noise"))
        figures: Figures = {}
        for omega in (1, 2, 3):
            figures[f"mean@{omega}"] = float(told.push(x, {"label": 1}, steps=1, guidance=omega).mean())
            figures[f"exact mean@{omega}"] = _exact_mean(x, omega)
        errors = [abs(figures[f"mean@{omega}"] / figures[f"exact mean@{omega}"] - 1) for omega in (1, 2, 3)]
        every = _class_mean(compounded, x)
        return figures | {
            "error": max(errors), "mean at every level": every, "overshoot": every / figures["exact mean@2"],
        }  # fmt: skip

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return [*class_names(self.config), *class_names(self.intrinsic)]


def _class_mean(flow: FlowTransport, x: Tensor) -> float:
    return float(flow.push(x, {"label": 1}, steps=1).mean())


class _TwoClasses:
    """The exact velocity given the class, the mean one for the absent class."""

    def __init__(self) -> None:
        source, variance = Gaussian.standard(1), torch.tensor([[SPREAD**2]])
        both = GaussianMixture(torch.tensor([[-1.0], [1.0]]), variance.expand(2, 1, 1))
        self.one = AffineOracle(source, Gaussian(torch.ones(1), variance), CondOT())
        self.any = AffineOracle(source, both, CondOT())

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        assert condition is not None
        return torch.where(condition["label"][:, None] < 0, self.any.velocity(x, t), self.one.velocity(x, t))

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        raise NotImplementedError


def _exact_mean(x: Tensor, omega: float) -> float:
    guided, label = ClassifierFree(_TwoClasses(), omega), {"label": torch.ones(len(x), dtype=torch.long)}
    return float(FixedStep("euler", 64).solve(guided, x, condition=label).x.mean())


@dataclass(frozen=True)
class DetailGradients(Experiment):
    """What weights on the details of images do to the error, on random differences of `size` by `size` pixels.

    Figures: `gap`, the relative difference of the wavelet error with weights 1 to the squared one; `details`, by how
    much the gradient of the weighted error is larger on a chequered error, and `flat` on a constant one.
    """

    weights: tuple[float, ...] = (4.0, 2.0)
    size: int = 16

    def run(self, seed: int) -> Figures:
        """Measure."""
        d = torch.randn(64, 3, self.size, self.size, generator=seeded(seed, "images")).double()
        even, weighted = Wavelet((1.0,) * len(self.weights)), Wavelet(tuple(self.weights))
        flat = torch.ones(1, 1, self.size, self.size).double()
        chequered = flat.clone()
        chequered[..., ::2] *= -1
        return {
            "gap": abs(float(even(d).mean() / d.square().mean()) - 1),
            "details": _steepness(weighted, chequered) / _steepness(SquaredError(), chequered),
            "flat": _steepness(weighted, flat) / _steepness(SquaredError(), flat),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [Wavelet.__name__]


def _steepness(distance: SquaredError | Wavelet, difference: Tensor) -> float:
    difference = difference.clone().requires_grad_()
    return float(torch.autograd.grad(distance(difference).mean(), difference)[0].norm())


@dataclass(frozen=True)
class PooledPairs(Experiment):
    """Pair noise with the ring by optimal transport in pools of 1, 4 and 16 batches of 256: `cost@N`, the mean squared
    distance of pairs.
    """

    factors: tuple[int, ...] = (1, 4, 16)
    coupling: dict[str, Any] = field(default_factory=lambda: {"class_path": "MinibatchOT"})

    def run(self, seed: int) -> Figures:
        """Pair."""
        coupling, figures = build(self.coupling), Figures()
        x0, x1 = (
            torch.randn(4096, 2, generator=seeded(seed, "noise")),
            ring().sample(4096, generator=seeded(seed, "ring")),
        )
        for factor in self.factors:
            pools = zip(x0.split(256 * factor), x1.split(256 * factor), strict=True)
            found = [coupling(first, second, generator=seeded(seed, "pairs")) for first, second in pools]
            figures[f"cost@{factor}"] = float(torch.cat([p.x1 - p.x0 for p in found]).square().sum(1).mean())
        return figures

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [MinibatchOT.__name__]
