"""Experiments without training: closed forms integrated by the library's own solvers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.couplings import MinibatchOT
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, ring
from pushforward.networks import MLP
from pushforward.ot import solve
from pushforward.paths import VP, Affine, BrownianBridge, CondOT, LinearVP, Polynomial, Schedule, Trig
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import DormandPrince, FixedStep, log_density
from pushforward.training import Trainer, fit

__all__ = ["EntropicCorrelation", "OracleLikelihood", "SchroedingerBridgeMarginals"]


@dataclass(frozen=True)
class OracleLikelihood(Experiment):
    """Integrate the exact marginal velocity of every affine schedule, for a Gaussian and for a mixture target, to the
    log-density of the target.

    Figures: the largest absolute error in nats over points and schedules (`exact error`), and the relative error of the
        mean with Hutchinson's estimate from `probes` vectors (`Hutchinson error`). Schedules whose velocity is infinite
        at t = 1 are followed from 1 - 1e-7.
    """

    points: int = 100
    probes: int = 256
    tolerance: float = 1e-7

    @torch.no_grad()
    def run(self, seed: int) -> Figures:
        """Compare with the target's own log-density."""
        gaussian = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.5, 0.6], [0.6, 0.5]]).double())
        exact, estimated = [], []
        for target in (gaussian, _double(ring())):
            y = target.sample(self.points, generator=seeded(seed, "points")).double()
            for schedule in (CondOT(), Trig(), LinearVP(), Polynomial(2), VP()):
                found = self._log_density(target, schedule, y, None, seed)
                exact.append(float((found - target.log_prob(y)).abs().max()))
            found = self._log_density(target, CondOT(), y, self.probes, seed)
            estimated.append(abs(float(found.mean() / target.log_prob(y).mean()) - 1))
        return {"exact error": max(exact), "Hutchinson error": max(estimated)}

    def _log_density(
        self, target: Gaussian | GaussianMixture, schedule: Schedule, y: Tensor, probes: int | None, seed: int
    ) -> Tensor:
        oracle = AffineOracle(Gaussian.standard(2), target, schedule)
        field = _Clamped(oracle, 1.0 if Affine(schedule).interval[1] == 1 else 1 - 1e-7)
        generator = seeded(seed, "probes")

        def log_prob0(x: Tensor) -> Tensor:
            return oracle.log_prob(x, x.new_zeros(len(x)))

        return log_density(
            field, y, log_prob0, solver=DormandPrince(self.tolerance), probes=probes, generator=generator
        ).log_prob

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["AffineOracle", "CondOT", "Trig", "LinearVP", "Polynomial", "VP", "DormandPrince", "log_density"]


@dataclass(frozen=True)
class _Clamped:
    """A velocity held at the last time where it is finite."""

    oracle: AffineOracle
    last: float

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.oracle.velocity(x, t.clamp(max=self.last))

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.oracle.score(x, t.clamp(max=self.last))


@dataclass(frozen=True)
class EntropicCorrelation(Experiment):
    """The entropic plan between two unit Gaussians on the line, on a fine grid, against its closed form.

    With the kernel `exp(-|x - y|^2 / (2 sigma^2))`, that is `epsilon = 2 sigma^2` for squared distances, the plan is
    Gaussian with correlation `sqrt(sigma^4 / 4 + 1) - sigma^2 / 2`. Figure: the largest absolute error over `sigmas`.
    """

    sigmas: tuple[float, ...] = (0.5, 1.0, 2.0)
    points: int = 400

    def run(self, seed: int) -> Figures:
        """Solve on the grid; nothing is random."""
        x = torch.linspace(-6, 6, self.points, dtype=torch.float64)[:, None]
        weight = torch.exp(-0.5 * x[:, 0].square())
        weight = weight / weight.sum()
        errors = []
        for sigma in self.sigmas:
            plan = solve(x, x, weight, weight, epsilon=2 * sigma**2, tolerance=1e-10)
            correlation = float((x[:, 0] * plan.apply(x[:, 0])).sum())
            errors.append(abs(correlation - (math.sqrt(sigma**4 / 4 + 1) - sigma**2 / 2)))
        return {"correlation error": max(errors)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["solve"]


@dataclass(frozen=True)
class SchroedingerBridgeMarginals(Experiment):
    """Learn the Schroedinger bridge of diffusion `sigma` from N(0, 1) to N(2, 1) and compare the flow's variances
    inside with the closed form.

    The variance at time t is `(1-t)^2 + t^2 + 2 t (1-t) c + sigma^2 t (1-t)` with the entropic correlation c. Figure:
    the largest relative error at t = 1/4, 1/2, 3/4.
    """

    sigma: float = 1.0
    steps: int = 2000
    rows: int = 20_000

    def run(self, seed: int) -> Figures:
        """Train on fresh samples, push fresh ones, and compare."""
        transport = fit(
            Gaussian([0.0]), Gaussian([2.0]), coupling=MinibatchOT("entropic", 2 * self.sigma**2, pool_rows=0),
            path=BrownianBridge(self.sigma), network=MLP(width=64, depth=2), trainer=Trainer(steps=self.steps,
            batch_size=256), normalise="none", seed=seed,
        )  # fmt: skip
        x = torch.randn(self.rows, 1, generator=seeded(seed, "rows"))
        path = transport.trajectory(x, times=5, solver=FixedStep("midpoint", 64)).path
        assert path is not None
        c = math.sqrt(self.sigma**4 / 4 + 1) - self.sigma**2 / 2
        errors = []
        for row, t in zip(path[1:4], (0.25, 0.5, 0.75), strict=True):
            exact = (1 - t) ** 2 + t**2 + 2 * t * (1 - t) * c + self.sigma**2 * t * (1 - t)
            errors.append(abs(float(row.var()) / exact - 1))
        return {"variance error": max(errors)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["MinibatchOT", "BrownianBridge", "FlowMatching", "MLP"]


def _double(mixture: GaussianMixture) -> GaussianMixture:
    return GaussianMixture(mixture.means.double(), mixture.covariances.double(), mixture.weights.double())
