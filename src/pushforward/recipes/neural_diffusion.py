"""Neural flow diffusion: the bound with and without a learned noising process, and straighter paths by a penalty."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pushforward.contracts import Pairs
from pushforward.maps import FlowTransport
from pushforward.measures import GaussianMixture
from pushforward.metrics import energy_distance
from pushforward.networks import MLP
from pushforward.objectives import DiffusionBound
from pushforward.paths import NeuralDiffusion
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["LearnedNoising"]


@dataclass(frozen=True)
class LearnedNoising(Experiment):
    """Train the bound on `1/2 N(-1, 0.01) + 1/2 N(1, 0.01)`, with a fixed and with a learned noising process.

    Figures, for a fixed process (`fixed`), a learned one (`learned`) and a learned one with the weight `curvature` on
        the bending of paths (`straight`), as in `fixed excess`: the `excess` in nats of the bound on fresh points over
        the exact entropy of the target, the mean `acceleration` of the paths that the ODE generates, and the energy
        distance to the target after `two steps` of Euler, after 64 (`many steps`), and after 100 steps of the SDE
        (`SDE`). `gain` is how much the bound falls by learning the process.
    """

    curvature: float = 0.1
    steps: int = 500
    rows: int = 20_000
    pushed: int = 2000

    def run(self, seed: int) -> Figures:
        """Fit the three, bound, sample."""
        target = GaussianMixture(torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.01))
        fits = {"fixed": (False, 0.0), "learned": (True, 0.0), "straight": (True, self.curvature)}
        figures: Figures = {}
        for name, (learned, curvature) in fits.items():
            transport = fit(
                "gaussian", target, path=NeuralDiffusion(learned=learned), objective=DiffusionBound(curvature),
                predicts="data", network=MLP(width=32, depth=2), trainer=Trainer(steps=self.steps), normalise="none",
                seed=seed,
            )  # fmt: skip
            found = {"excess": self._bound(transport, target, seed) - _entropy(target)}
            found |= self._samples(transport, target, seed)
            figures |= {f"{name} {key}": value for key, value in found.items()}
        return figures | {"gain": figures["fixed excess"] - figures["learned excess"]}

    def _bound(self, transport: FlowTransport, target: GaussianMixture, seed: int) -> float:
        generator, field = seeded(seed, "bound"), transport.field
        x1 = target.sample(self.rows, generator=generator)
        pairs = Pairs(torch.randn(self.rows, 1, generator=generator), x1, gaussian_source=True)
        with torch.no_grad():
            return float(DiffusionBound()(field, pairs, field.path, generator=generator).terms["bound"])

    def _samples(self, transport: FlowTransport, target: GaussianMixture, seed: int) -> Figures:
        generator = seeded(seed, "samples")
        x, fresh = torch.randn(self.pushed, 1, generator=generator), target.sample(self.pushed, generator=generator)
        path = transport.trajectory(x, times=65, solver=FixedStep("midpoint", 64)).path
        assert path is not None
        euler = {name: transport.push(x, steps=n, method="euler") for name, n in (("two steps", 2), ("many steps", 64))}
        moved = euler | {"SDE": transport.push(x, steps=100, method="euler-maruyama", generator=generator)}
        figures = {name: float(energy_distance(points, fresh)) for name, points in moved.items()}
        return figures | {"acceleration": float(path.diff(n=2, dim=0).abs().mean()) * 64**2}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["NeuralDiffusion", "Independent", "DiffusionBound", "MLP"]


def _entropy(target: GaussianMixture) -> float:
    """`-integral p log p`, by quadrature in double precision."""
    exact = GaussianMixture(target.means.double(), target.covariances.double(), target.weights.double())
    y = torch.linspace(-3, 3, 60_001, dtype=torch.float64)[:, None]
    log_density = exact.log_prob(y)
    return -float(torch.trapezoid(log_density.exp() * log_density, y[:, 0]))
