"""Contrastive flow matching: what its minimiser is, what that does to classes, and how early they come apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.contracts import Pairs, VelocityField
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Empirical, Gaussian
from pushforward.networks import MLP, Deinterfered, Field
from pushforward.objectives import Contrastive, FlowMatching, Interval, Objective, Uniform
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import DormandPrince
from pushforward.training import Trainer, fit

__all__ = ["ContrastiveClasses", "ContrastiveMinimiser"]


@dataclass(frozen=True)
class ContrastiveMinimiser(Experiment):
    """From N(0, 1) to N(2, 0.25), at one time the best velocity is linear in x: find it by the loss itself, in one
    Newton step from `rows` pairs, and compare with `(v_FM - strength u_bar) / (1 - strength)`.

    Figures: `error` and, of the velocity of plain flow matching in its place, `error of flow matching`, both relative
    and in the mean over x.
    """

    strength: float = 0.3
    time: float = 0.5
    rows: int = 400_000

    def run(self, seed: int) -> Figures:
        """Minimise and compare."""
        source, target = Gaussian([0.0], [[1.0]]), Gaussian([2.0], [[0.25]])
        generator = seeded(seed, "pairs")
        pairs = Pairs(*(side.sample(self.rows, generator=generator).double() for side in (source, target)))
        found = self._minimise(pairs, seed)
        oracle = AffineOracle(source, target, Affine().schedule)
        x = oracle.sample(1000, self.time, generator=generator).double()
        plain = oracle.velocity(x, torch.full((len(x),), self.time).double())
        wanted = (plain - self.strength * 2.0) / (1 - self.strength)
        size = wanted.square().mean().sqrt()
        return {
            "error": float((found[0] * x + found[1] - wanted).square().mean().sqrt() / size),
            "error of flow matching": float((plain - wanted).square().mean().sqrt() / size),
        }

    def _minimise(self, pairs: Pairs, seed: int) -> Tensor:
        """Return slope and offset at which the gradient vanishes: the loss is quadratic in them."""
        law = Interval(Uniform(), self.time - 1e-6, self.time + 1e-6)
        objective = Contrastive(FlowMatching(law), self.strength)

        def loss(theta: Tensor) -> Tensor:
            field = Field(_Linear(theta), Affine(), (1,), {})
            return objective(field, pairs, field.path, generator=seeded(seed, "times")).total

        start = torch.zeros(2, dtype=torch.float64)
        gradient = torch.autograd.functional.jacobian(loss, start)
        hessian = torch.autograd.functional.hessian(loss, start)
        assert isinstance(gradient, Tensor) and isinstance(hessian, Tensor)  # of one tensor of parameters
        return -torch.linalg.solve(hessian, gradient)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Contrastive", "AffineOracle"]


class _Linear(nn.Module):
    def __init__(self, theta: Tensor) -> None:
        super().__init__()
        self.theta = theta

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        return self.theta[0] * x + self.theta[1]


@dataclass(frozen=True)
class ContrastiveClasses(Experiment):
    """Four Gaussian classes of the given `deviation`, their means 2 away from (1, 0), learned from noise as conditions;
    plain flow matching for a `strength` of 0.

    Figures: `deviation` within the classes of the samples; `deviation corrected`, with the velocity of flow matching
    calculated back; and `separation`, the mean square of the class means about their centre over that within classes.
    """

    strength: float = 0.0
    deviation: float = 0.4
    steps: int = 1500
    rows: int = 8000

    def run(self, seed: int) -> Figures:
        """Fit with this seed, sample, and measure the classes."""
        transport = self._fit(seed)
        corrected = Deinterfered(transport.field, self.strength, torch.tensor([1.0, 0.0]))
        raw, plain = (self._sample(field, seed) for field in (transport.field, corrected))
        (deviation, separation), (deviation_corrected, _) = _classes(raw), _classes(plain)
        return {"deviation": deviation, "deviation corrected": deviation_corrected, "separation": separation}

    def _fit(self, seed: int) -> FlowTransport:
        objective: Objective = Contrastive(strength=self.strength) if self.strength else FlowMatching()
        label = torch.arange(20_000) % 4
        noise = torch.randn(len(label), 2, generator=seeded(seed, "data"))
        centres = torch.tensor([[3.0, 0.0], [1.0, 2.0], [-1.0, 0.0], [1.0, -2.0]])
        target = Empirical(centres[label] + self.deviation * noise, {"label": label})
        trainer = Trainer(steps=self.steps, warmup=50, ema=0.99, learning_rate=2e-3)
        network = MLP(width=64, depth=3)
        return fit(
            "gaussian", target, network=network, objective=objective, trainer=trainer, normalise="none", seed=seed
        )

    @torch.no_grad()
    def _sample(self, field: VelocityField, seed: int) -> Tensor:
        noise = torch.randn(self.rows, 2, generator=seeded(seed, "noise"))
        return DormandPrince(1e-3).solve(field, noise, condition={"label": torch.arange(self.rows) % 4}).x

    def pieces(self) -> list[str]:
        """Return what was used."""
        objective = ["Contrastive", "Deinterfered"] if self.strength else ["FlowMatching"]
        return ["Independent", "Affine", *objective, "MLP"]


def _classes(x: Tensor) -> tuple[float, float]:
    """Return the deviation within the four classes of `x: (4 n, 2)`, in turn, and their separation."""
    groups = x.unflatten(0, (-1, 4)).double()
    within = groups.var(0).mean()
    return float(within.sqrt()), float(groups.mean(0).var(0, unbiased=False).mean() / within)
