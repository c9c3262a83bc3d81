"""How much noise there is in what flow maps are trained on: of their pairs, and of their targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.couplings import Matched
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, ring
from pushforward.networks import MLP
from pushforward.objectives import total_derivative
from pushforward.paths import CondOT
from pushforward.randomness import seeded
from pushforward.recipes.distances import mean_square, root_mean_square
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import DormandPrince
from pushforward.tensors import bcast
from pushforward.training import Trainer, fit

__all__ = ["PairNoise", "TargetNoise"]


@dataclass(frozen=True)
class PairNoise(Experiment):
    """Follow the exact flow from noise to the ring of eight Gaussians, and measure how far its pairs determine the
    velocity at the states between them.

    Figures: `variance, independent pairs`, `E |x1 - x0 - v(x_t, t)|^2` with the exact velocity v; `variance, the flow's
    pairs`, the same with the velocity that a network of `width` learns of 20,000 pairs in `steps` steps, on pairs that
    it has not seen. Of the share `kept` of the pairs, the nearest ones: `distance kept`, the root of the largest mean
    squared distance of an entry, and what becomes of the source, `mean of the source, kept` (its norm, 0 for all pairs)
    and `deviation of the source, kept` (1 for all).
    """

    width: int = 96
    steps: int = 1500
    kept: float = 0.9

    def run(self, seed: int) -> Figures:
        """Follow, fit, measure."""
        oracle, generator = _ring_oracle(), seeded(seed, "pairs")
        x0 = torch.randn(30_000, 2, generator=generator).double()
        x1 = DormandPrince(1e-4).solve(oracle, x0).x
        trainer = Trainer(steps=self.steps, batch_size=256, learning_rate=2e-3, ema=0.995)
        flow = fit(
            x0[:20_000].float(), x1[:20_000].float(), coupling=Matched(), network=MLP(self.width), normalise="none",
            trainer=trainer, seed=seed,
        )  # fmt: skip
        unseen0, unseen1 = x0[20_000:], x1[20_000:]
        independent = ring().sample(len(unseen0), generator=generator).double()
        t = torch.rand(len(unseen0), generator=generator).double()
        between, crossed = (torch.lerp(unseen0, x, t[:, None]) for x in (unseen1, independent))
        with torch.no_grad():
            learnt = flow.field.velocity(between.float(), t.float()).double()
        distance = (x1 - x0).square().mean(1)
        near = x0[distance.argsort()[: round(self.kept * len(x0))]]
        return {
            "variance, independent pairs": mean_square(independent - unseen0, oracle.velocity(crossed, t)),
            "variance, the flow's pairs": mean_square(unseen1 - unseen0, learnt),
            "distance kept": float(distance.quantile(self.kept).sqrt()),
            "mean of the source, kept": float(near.mean(0).norm()),
            "deviation of the source, kept": float(near.std(0).mean()),
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return ["SelfGenerated", "Matched", "DormandPrince", "FlowMatching", "MLP"]


@dataclass(frozen=True)
class TargetNoise(Experiment):
    """Compare the targets of MeanFlow with the velocity of pairs and with that of the flow, for the exact flow from
    noise to the ring and a map that starts as that flow, `u(x; s, e) = v(x, s)`.

    Figures, over `rows` jumps between uniform times: `deviation, pairs` and `deviation, taught` of the targets, root
    mean square of the entries about their mean; `noise, pairs`, the root mean square distance of the two.
    """

    rows: int = 20_000

    def run(self, seed: int) -> Figures:
        """Draw jumps and make both targets."""
        oracle, generator = _ring_oracle(), seeded(seed, "rows")
        x0 = torch.randn(self.rows, 2, generator=generator).double()
        x1 = ring().sample(self.rows, generator=generator).double()
        s, e = torch.rand(2, self.rows, generator=generator).double().sort(0).values
        x = torch.lerp(x0, x1, s[:, None])

        def target(v: Tensor) -> Tensor:
            return v + bcast(e - s, x) * total_derivative(lambda x, s, e: oracle.velocity(x, s), x, s, e, v)

        pairs, taught = target(x1 - x0), target(oracle.velocity(x, s))
        return {
            "deviation, pairs": float(pairs.std(0).square().mean().sqrt()),
            "deviation, taught": float(taught.std(0).square().mean().sqrt()),
            "noise, pairs": root_mean_square(pairs, taught),
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return ["MeanFlow", "Conditional", "Taught"]


def _ring_oracle() -> AffineOracle:
    modes = ring()
    target = GaussianMixture(modes.means.double(), modes.covariances.double())
    return AffineOracle(Gaussian(torch.zeros(2).double()), target, CondOT())
