"""CAR-Flow: shifts by condition leave the best loss as it is and are learned faster; a free scale cheats."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pushforward.configuration import Recorded
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.ends import End, Scaled
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Empirical, Gaussian
from pushforward.metrics import energy_distance
from pushforward.networks import MLP
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine, CondOT, Reparametrised
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.training import Trainer, fit

__all__ = ["BayesLossOfShifts", "ScaleCollapse", "ShiftedClasses"]


@dataclass(frozen=True)
class BayesLossOfShifts(Experiment):
    """The smallest flow-matching loss of a Gaussian class, with source and target shifted at random and scaled by
    `scale`, from the exact velocity.

    Figures: the largest relative change by a shift (`change by shift`), and the ratio to the loss without scale over
        `scale^2` (`scale law`).
    """

    scale: float = 0.1
    shifts: int = 10
    rows: int = 20_000

    def run(self, seed: int) -> Figures:
        """Compare on the same pairs."""
        generator = seeded(seed, "bayes")
        x0, x1, mu = (torch.randn(n, 2, generator=generator).double() for n in (self.rows, self.rows, 2 * self.shifts))
        t = torch.rand(self.rows, generator=generator).double()
        still = self._loss(x0, x1, t, torch.zeros(2, 2).double(), 1.0)
        shifted = [self._loss(x0, x1, t, 5 * pair, 1.0) for pair in mu.chunk(self.shifts)]
        scaled = self._loss(x0, x1, t, mu[:2], self.scale)
        return {
            "change by shift": max(abs(loss / still - 1) for loss in shifted),
            "scale law": scaled / still / self.scale**2,
        }

    def _loss(self, x0: Tensor, x1: Tensor, t: Tensor, mu: Tensor, scale: float) -> float:
        mean, deviation = torch.tensor([5.0, 0.0]).double(), torch.tensor([1.0, 0.5]).double()
        source = Gaussian(scale * mu[0], scale**2 * torch.eye(2).double())
        target = Gaussian(scale * (mean + mu[1]), scale**2 * deviation.square().diag())
        pairs = Pairs(scale * (x0 + mu[0]), scale * (mean + deviation * x1 + mu[1]))
        point = Affine().point(pairs, Times(t, t, torch.zeros_like(t)))
        return float((point.v - AffineOracle(source, target, CondOT()).velocity(point.x, t)).square().mean())

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Reparametrised", "AffineOracle"]


@dataclass(frozen=True)
class ShiftedClasses(Experiment):
    """Two classes N((-5, 0), I) and N((5, 0), I) from noise with a network of two layers of 32: what shifts by class
    save.

    Plain flow matching is trained for `steps` steps; with shifts, whole trainings of growing length are tried until one
    is as good. Figures: `energy distance plain` and, in as many steps, `energy distance shifted` (means over the
    classes), and `share of steps` that the shifts need (2 where `steps` are not enough).
    """

    steps: int = 600
    shares: tuple[float, ...] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)

    def run(self, seed: int) -> Figures:
        """Fit at every length until the plain result is reached."""
        plain, full = (_energy(_fit(seed, path, self.steps), seed) for path in (Affine(), Reparametrised()))
        reached = (share for share in self.shares if self._shifted(seed, share) <= plain)
        return {
            "energy distance plain": plain,
            "energy distance shifted": full,
            "share of steps": next(reached, 1.0 if full <= plain else 2.0),
        }

    def _shifted(self, seed: int, share: float) -> float:
        return _energy(_fit(seed, Reparametrised(), round(share * self.steps)), seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Reparametrised", "Independent", "FlowMatching", "MLP"]


@dataclass(frozen=True)
class ScaleCollapse(Experiment):
    """The same classes with a free learned scale in place of shifts: the loss can be had for nothing.

    Figures: `loss plain`, and with both ends scaled `loss scaled` and `state spread`, the scale that the flow's final
        states have come to; with the target alone scaled, `energy distance scaled`, beside `energy distance plain`.
        The scale's exponent is learned ten times as fast as the network.
    """

    steps: int = 600

    def run(self, seed: int) -> Figures:
        """Fit without a scale, with both ends scaled, and with the target alone."""
        plain, both, target = (_fit(seed, path, self.steps) for path in (Affine(), Scale(True), Scale(False)))
        assert isinstance(both.field.path, Scale)
        return {
            "loss plain": _loss(plain, seed),
            "loss scaled": _loss(both, seed),
            "state spread": float(both.field.path.scales()[1]),
            "energy distance plain": _energy(plain, seed),
            "energy distance scaled": _energy(target, seed),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Independent", "FlowMatching", "MLP"]


class Scale(Recorded, nn.Module, Path):
    """Straight lines between `k0 x0` and `k1 x1` with learned scales: what CAR-Flow warns of, kept for the recipe."""

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.both, self.exponent = both, nn.Parameter(torch.zeros(2))

    def scales(self) -> Tensor:
        """Return `k0` and `k1`."""
        return (10 * self.exponent * torch.tensor([float(self.both), 1.0])).exp()

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the point of the scaled pairs."""
        k0, k1 = self.scales()
        return Affine().point(replace(pairs, x0=k0 * pairs.x0, x1=k1 * pairs.x1), times)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return what is regressed on."""
        return Affine().target(point, kind)

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Convert as on straight lines."""
        return Affine().convert(value, x, t, src, dst)

    @property
    def source_end(self) -> End:
        """Multiply by `k0`."""
        return Scaled(float(self.scales()[0].detach()))

    @property
    def target_end(self) -> End:
        """Multiply by `k1`."""
        return Scaled(float(self.scales()[1].detach()))


def _classes(n: int, seed: int) -> Empirical:
    label = torch.arange(n) % 2
    means = torch.tensor([[-5.0, 0.0], [5.0, 0.0]])
    return Empirical(means[label] + torch.randn(n, 2, generator=seeded(seed, "classes")), {"label": label})


def _fit(seed: int, path: Path, steps: int) -> FlowTransport:
    trainer = Trainer(steps=steps, warmup=50)
    return fit(
        "gaussian", _classes(20_000, seed), path=path, network=MLP(width=32, depth=2), trainer=trainer, seed=seed
    )


def _energy(transport: FlowTransport, seed: int, rows: int = 8000) -> float:
    """Energy distance of pushed to fresh points, averaged over the classes."""
    fresh = _classes(rows, 1000 + seed).x
    noise = torch.randn(rows, 2, generator=seeded(seed, "noise"))
    pushed = transport.push(noise, {"label": torch.arange(rows) % 2}, steps=16)
    return sum(float(energy_distance(pushed[label::2], fresh[label::2])) for label in (0, 1)) / 2


def _loss(transport: FlowTransport, seed: int, rows: int = 8000) -> float:
    target, generator = _classes(rows, 1000 + seed), seeded(seed, "loss")
    x1 = transport.target_frame.normalise(target.x)
    pairs = Pairs(torch.randn(rows, 2, generator=generator), x1, target.condition, gaussian_source=True)
    with torch.no_grad():
        return float(FlowMatching()(transport.field, pairs, transport.field.path, generator=generator).total)
