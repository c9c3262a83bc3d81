"""How far is the learned flow from the truth after n samples? The mean of a mixture in many dimensions, exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides
from pushforward.networks import Field, SkipAutoencoder
from pushforward.objectives import Discrete, FlowMatching
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["FixedNoise", "LearnedMean", "TrainedMean"]


@dataclass(frozen=True)
class FixedNoise(Coupling):
    """Give every point of a finite target one source point, drawn once and kept for the whole training.

    Set up by `prepared`; `points` and `noise` are the rows that belong together.
    """

    points: Tensor | None = None
    noise: Tensor | None = None

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Draw one source point for each point of the target."""
        assert sides.data is not None
        points = sides.data[0]
        return replace(self, points=points, noise=sides.source(len(points), generator=generator))

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Return each target row with the source row that is its own."""
        assert self.points is not None and self.noise is not None
        rows = torch.cdist(x1.flatten(1), self.points.flatten(1)).argmin(1)
        return Pairs(self.noise[rows], x1, condition)


def two_clouds(n: int, d: int, sigma: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw `n` points of `N(+-mu, sigma^2 I) / 2` with `mu = (1, ..., 1)`: their signs `(n, 1)` and points `(n, d)`."""
    sign = 2.0 * torch.randint(2, (n, 1), generator=generator) - 1
    return sign, sign + sigma * torch.randn(n, d, generator=generator)


def solve_exactly(sign: Tensor, x1: Tensor, x0: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """Minimise `sum_i |x1_i - c x_t,i - s_i w|^2` at each of the times `k / times`; `x0: (times or 1, n, d)`.

    Returns the numbers c `(times,)` and vectors w `(times, d)` of a `SkipAutoencoder`.
    """
    c, w = [], []
    for k in range(times):
        t = k / times
        a, b = sign * x1, sign * torch.lerp(x0[k % len(x0)], x1, t)
        spread = b - b.mean(0)
        c.append(((a - a.mean(0)) * spread).sum() / spread.square().sum())
        w.append(a.mean(0) - c[-1] * b.mean(0))
    return torch.stack(c), torch.stack(w)


@torch.no_grad()
def mean_error(field: Field, times: int, *, rows: int, generator: torch.Generator) -> float:
    """Generate `rows` points in `times` Euler steps and return `|mu_hat - mu|^2 / d` of the mean over both clouds, less
    what it owes to the finite number of rows.
    """
    x0 = torch.randn(rows, *field.event_shape, generator=generator)
    x = FixedStep("euler", times).solve(field, x0).x
    folded = x * x.mean(1, keepdim=True).sign()
    return float((folded.mean(0) - 1).square().mean() - folded.var(0).mean() / rows)


def exact_field(sign: Tensor, x1: Tensor, x0: Tensor, times: int) -> Field:
    """Return the field whose network is the exact least-squares solution."""
    field = Field(SkipAutoencoder(times), Affine(), tuple(x1.shape[1:]), {}, "data")
    c, w = solve_exactly(sign, x1, x0, times)
    field.network.load_state_dict({"skip": c, "weight": w})
    return field


@dataclass(frozen=True)
class LearnedMean(Experiment):
    """Solve the denoiser exactly for n samples in `size` dimensions at every one of `times` times, follow its flow, and
    measure the error of the mean of what it generates.

    Theory: `error = 2 sigma^2 / n` with one noise for each sample, `sigma^2 / n` with fresh noise at every time.
    Figures: `constant fixed` and `constant fresh`, the mean of `error n / sigma^2` over the sizes and `repeats`, and
        the slopes of log error against log n.
    """

    samples: tuple[int, ...] = (4, 8, 16, 32, 64)
    size: int = 1000
    sigma: float = 0.7
    times: int = 200
    repeats: int = 2
    rows: int = 100

    def run(self, seed: int) -> Figures:
        """Solve, generate, compare."""
        figures: Figures = {}
        for name, fresh in (("fixed", False), ("fresh", True)):
            errors = [self._error(n, fresh, seed) for n in self.samples]
            constants = [error * n / self.sigma**2 for error, n in zip(errors, self.samples, strict=True)]
            logs = torch.tensor([[math.log(n), math.log(e)] for n, e in zip(self.samples, errors, strict=True)])
            x, y = (logs - logs.mean(0)).unbind(1)
            slope = float((x * y).sum() / x.square().sum())
            figures |= {f"constant {name}": sum(constants) / len(constants), f"slope {name}": slope}
        return figures

    def _error(self, n: int, fresh: bool, seed: int) -> float:
        errors = []
        for repeat in range(self.repeats):
            generator = seeded(seed, "clouds", n, repeat)
            sign, x1 = two_clouds(n, self.size, self.sigma, generator)
            x0 = torch.randn(self.times if fresh else 1, n, self.size, generator=generator)
            field = exact_field(sign, x1, x0, self.times)
            errors.append(mean_error(field, self.times, rows=self.rows, generator=generator))
        return sum(errors) / len(errors)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["SkipAutoencoder", "Affine", "FixedStep"]


@dataclass(frozen=True)
class TrainedMean(Experiment):
    """Train the same network with the library's own trainer on the same samples.

    Figures, for one noise for each sample (`fixed`) and for `fresh` noise: `ratio` of the error of the mean to that of
        the exact solution, and `departure`, its distance from 1.
    """

    samples: int = 16
    size: int = 200
    sigma: float = 0.7
    times: int = 50
    steps: int = 1500

    def run(self, seed: int) -> Figures:
        """Train and solve on the same samples."""
        generator = seeded(seed, "clouds")
        sign, x1 = two_clouds(self.samples, self.size, self.sigma, generator)
        fixed = FixedNoise(x1, torch.randn(x1.shape, generator=generator))
        figures: Figures = {}
        for name, coupling, draws in (("fixed", fixed, 1), ("fresh", None, 32)):
            trained, exact = self._train(x1, coupling, seed), self._solve(sign, fixed, draws, generator)
            found, wanted = (
                mean_error(field, self.times, rows=200, generator=seeded(seed, "rows")) for field in (trained, exact)
            )
            figures |= {f"ratio {name}": found / wanted, f"departure {name}": abs(found / wanted - 1)}
        return figures

    def _solve(self, sign: Tensor, fixed: FixedNoise, draws: int, generator: torch.Generator) -> Field:
        """Solve with each sample's own noise, or with many draws of fresh noise at every time, as training has them."""
        assert fixed.points is not None and fixed.noise is not None
        rows = draws * self.samples
        fresh = torch.randn(self.times, rows, self.size, generator=generator)
        x0 = fixed.noise[None] if draws == 1 else fresh
        return exact_field(sign.repeat(draws, 1), fixed.points.repeat(draws, 1), x0, self.times)

    def _train(self, x1: Tensor, coupling: Coupling | None, seed: int) -> Field:
        transport = fit(
            "gaussian", x1, network=SkipAutoencoder(self.times), coupling=coupling, predicts="data", normalise="none",
            objective=FlowMatching(Discrete(self.times)), solver=FixedStep("euler", self.times), seed=seed,
            trainer=Trainer(steps=self.steps, batch_size=4 * self.times, learning_rate=0.02, clip=None, ema=0.99),
            show_progress=False,
        )  # fmt: skip
        return transport.field

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["SkipAutoencoder", "FlowMatching", "Discrete", "Affine", "FixedStep"]
