"""Laws of the velocity: exact ones, learned ones sampled in a few steps, and how couplings narrow them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.couplings import MinibatchOT
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, VelocityOracle, as_measure, ring
from pushforward.metrics import energy_distance
from pushforward.paths import CondOT
from pushforward.randomness import seeded
from pushforward.recipes.distances import root_mean_square
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import FixedStep, MixtureODE, MixtureSDE, NestedSampler, Solver
from pushforward.training import fit_config

__all__ = ["DrawnBy", "ExactLaw", "LawByPlanBatch"]


@dataclass(frozen=True)
class ExactLaw(Experiment):
    """Sample a ring of eight Gaussians with its exact law of the velocity and with the mean of it.

    Figures: energy distances (unbiased) to the target of `rows` samples, the largest over 1, 2 and 4 steps: `drawn`
        (one velocity a step), `gm-sde`; the smallest of Euler on the mean, `mean@N` for each; and `two samples`, the
        absolute distance of two samples of the target. `gm-ode error` is the root mean square distance of GM-ODE with
        one call and 200 sub-steps from the exact flow, at t = 0.8.
    """

    rows: int = 2000

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Sample from the oracle."""
        target, law = ring(), VelocityOracle(Gaussian.standard(2), ring(), CondOT())
        truth, fresh = (target.sample(self.rows, generator=seeded(seed, "target", k)) for k in range(2))
        x0 = torch.randn(self.rows, 2, generator=seeded(seed, "noise"))

        def distance(solver: Solver) -> float:
            reached = solver.solve(law, x0, generator=seeded(seed, "draws")).x
            return float(energy_distance(reached, truth, estimator="unbiased"))

        some = x0[:100].double()
        flowed = AffineOracle(Gaussian.standard(2), target, CondOT()).flow_map(some, 0.0, 0.8)
        stepped = MixtureODE(1, substeps=200).solve(law, some, end=0.8).x
        counts = (1, 2, 4)
        return {
            "drawn": max(distance(NestedSampler(n)) for n in counts),
            "gm-sde": max(distance(MixtureSDE(n)) for n in counts),
            **{f"mean@{n}": distance(FixedStep("euler", n)) for n in counts},
            "two samples": abs(float(energy_distance(fresh, truth, estimator="unbiased"))),
            "gm-ode error": root_mean_square(stepped, flowed),
        }

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["VelocityOracle", "NestedSampler", "MixtureSDE", "MixtureODE"]


@dataclass(frozen=True)
class DrawnBy(Experiment):
    """Fit a transport and sample it by several solvers, `samplers: {name: description}`.

    Figures for each name: the energy distance to `rows` samples of the target (unbiased), `NAME`; `NAME deviation`, the
        overall deviation; on the line `NAME W1`, the 1-Wasserstein distance, and in the plane `NAME correlation` of the
        two entries.
    """

    config: dict[str, Any]
    samplers: dict[str, Any]
    rows: int = 4000

    def run(self, seed: int) -> Figures:
        """Fit with this seed, then sample."""
        transport = fit_config(self.config | {"seed": seed})
        target = as_measure(build(self.config["target"]))
        truth = target.block(0, self.rows, seed=1000 + seed).x
        x0 = as_measure(self.config["source"], like=target).block(0, self.rows, seed=2000 + seed).x
        figures: Figures = {}
        for name, description in self.samplers.items():
            with torch.no_grad():
                drawn = transport.solve(x0, solver=build(description), generator=seeded(seed, "draws")).x
            figures |= {f"{name}{kind}": value for kind, value in _compared(drawn, truth).items()}
        return figures

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration, and the solvers."""
        return [*class_names(self.config), *(name for item in self.samplers.values() for name in class_names(item))]


def _compared(drawn: Tensor, truth: Tensor) -> Figures:
    figures = {
        "": float(energy_distance(drawn, truth, estimator="unbiased")),
        " deviation": float(drawn.var(0).mean().sqrt()),
    }
    if drawn.shape[1:] == (1,):
        figures[" W1"] = float((drawn.sort(0).values - truth.sort(0).values).abs().mean())
    if drawn.shape[1:] == (2,):
        figures[" correlation"] = float(torch.corrcoef(drawn.T)[0, 1])
    return figures


@dataclass(frozen=True)
class LawByPlanBatch(Experiment):
    """How far velocities at one state differ, between N(0, 1) and the two Gaussians at -1 and 1, of deviation 0.2, when
    pairs come from optimal transport of batches of several sizes.

    Figures: `variance@N`, the mean variance of v given the state at t = 1/2 with plans of N rows, from the differences
        of neighbouring states among `rows` pairs; `exact variance@1`, in closed form, of independent pairs.
    """

    batches: tuple[int, ...] = (1, 5, 100)
    rows: int = 5000
    time: float = 0.5

    def run(self, seed: int) -> Figures:
        """Draw and pair; nothing is trained."""
        source, target = Gaussian([0.0]), GaussianMixture([[-1.0], [1.0]], [[[0.04]], [[0.04]]])
        law = VelocityOracle(source, target, CondOT())
        x0 = source.sample(self.rows, generator=seeded(seed, "source"))
        x1 = target.sample(self.rows, generator=seeded(seed, "target"))
        figures = {f"variance@{n}": self._variance(x0, x1, n) for n in self.batches}
        exact = law.mixture(torch.lerp(x0, x1, self.time), torch.full((self.rows,), self.time)).spread()
        return figures | {"exact variance@1": float(exact.mean())}

    def _variance(self, x0: Tensor, x1: Tensor, batch: int) -> float:
        paired = torch.cat([
            MinibatchOT()(x0[first : first + batch], x1[first : first + batch]).x0
            for first in range(0, self.rows, batch)
        ]) if batch > 1 else x0  # fmt: skip
        order = torch.lerp(paired, x1, self.time)[:, 0].argsort()
        return float((x1 - paired)[order].diff(dim=0).square().mean() / 2)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["MinibatchOT"]
