"""Stochastic interpolants between two Gaussians: every claim of the theory beside its closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Path, VelocityField
from pushforward.maps import FlowTransport
from pushforward.measures import Gaussian, InterpolantOracle
from pushforward.paths import EncodingDecoding, Interpolant, Mirror, QuadraticGamma, SigmoidGamma, SineGamma, TrigBlend
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import SDE, Constant, DormandPrince, kl_bound, log_density
from pushforward.training import fit_config

__all__ = ["GaussianInterpolant", "InterpolantChoices", "LikelihoodBound", "WithoutScore", "moment_errors"]

SOURCE = Gaussian([-1.0, 0.5], [[0.5, -0.2], [-0.2, 0.8]])
TARGET = Gaussian([1.0, -2.0], [[1.0, 0.3], [0.3, 0.5]])
EPSILONS = (0.1, 0.5, 2.0)
"""Diffusions of the paper, `dX = (b + epsilon s) dt + sqrt(2 epsilon) dW`: level 2 epsilon here."""


@dataclass(frozen=True)
class WithoutScore:
    """A field that says its score is zero: a stochastic solver then adds noise and corrects nothing."""

    field: VelocityField

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the field's velocity."""
        return self.field.velocity(x, t, condition)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return zero."""
        return torch.zeros_like(x)


def moment_errors(x: Tensor, mean: Tensor, covariance: Tensor) -> tuple[float, float]:
    """Return the error of the samples' mean over the size of the law, `sqrt(tr C)`, and the relative error of their
    covariance.
    """
    spread = covariance.trace().sqrt()
    return float((x.mean(0) - mean).norm() / spread), float((x.T.cov() - covariance).norm() / covariance.norm())


@dataclass(frozen=True)
class GaussianInterpolant(Experiment):
    """Fit velocity and score of the interpolant `path` between two Gaussians of the plane, independently paired, and
    compare field, samples and likelihood with the closed form.

    Figures: relative L2 errors over states and times (`velocity error`, `score error`); the larger error of mean and
        covariance after `steps` steps of stochastic Heun at each epsilon (`moment error, epsilon 0.5`) and the
        covariance's error without the score's correction (`no score, epsilon 0.5`); the error in nats of the mean
        log-likelihood by ODE and by SDE (`ODE likelihood error`, `SDE likelihood error`); the bound on the divergence
        at epsilon 1/2 (`KL bound`) and the epsilon at which the cruder bound is smallest (`best epsilon`).
    """

    config: dict[str, Any]
    rows: int = 10_000
    steps: int = 200
    sampling: bool = True

    def run(self, seed: int) -> Figures:
        """Fit with this seed and compare."""
        plain = {"source": SOURCE, "target": TARGET, "normalise": "none", "seed": seed}
        transport = fit_config(plain | {"coupling": {"class_path": "Independent"}} | self.config)
        path = transport.field.path
        assert isinstance(path, Interpolant)
        oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients)
        figures = self._fields(transport, oracle, seed)
        if self.sampling:
            figures |= self._samples(transport, seed) | self._likelihood(transport, seed)
        return figures

    @torch.no_grad()
    def _fields(self, transport: FlowTransport, oracle: InterpolantOracle, seed: int) -> Figures:
        nodes = torch.linspace(0.02, 0.98, 25)
        states = [oracle.sample(1000, float(t), generator=seeded(seed, "states", i)) for i, t in enumerate(nodes)]
        t, x = nodes.repeat_interleave(1000), torch.cat(states)
        model = transport.field
        bound = kl_bound(oracle, model, states, nodes, Constant(1.0))
        return {
            "velocity error": _relative(model.velocity(x, t), oracle.velocity(x, t)),
            "score error": _relative(model.score(x, t), oracle.score(x, t)),
            "KL bound": bound.value,
            "best epsilon": bound.best_level / 2,
        }

    @torch.no_grad()
    def _samples(self, transport: FlowTransport, seed: int) -> Figures:
        figures: Figures = {}
        x = SOURCE.sample(self.rows, generator=seeded(seed, "start"))
        for epsilon in EPSILONS:
            solver = SDE("stochastic-heun", self.steps, Constant(2 * epsilon))
            for name, model in (("moment error", transport.field), ("no score", WithoutScore(transport.field))):
                end = solver.solve(model, x, generator=seeded(seed, "noise")).x
                errors = moment_errors(end, TARGET.mean, TARGET.covariance)
                figures[f"{name}, epsilon {epsilon:g}"] = max(errors) if name == "moment error" else errors[1]
        return figures

    @torch.no_grad()
    def _likelihood(self, transport: FlowTransport, seed: int) -> Figures:
        y = TARGET.sample(1000, generator=seeded(seed, "test"))
        exact, generator = TARGET.log_prob(y), seeded(seed, "paths")
        figures: Figures = {}
        for name, solver in (("ODE", DormandPrince()), ("SDE", SDE("euler-maruyama", self.steps, Constant(0.2)))):
            found = log_density(transport.field, y, SOURCE.log_prob, solver=solver, generator=generator).log_prob
            figures[f"{name} likelihood error"] = abs(float((found - exact).mean()))
        return figures

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration, and what they are compared with."""
        return [*class_names(self.config), "InterpolantOracle", "SDE", "DensityAlongPaths"]


def _relative(found: Tensor, exact: Tensor) -> float:
    return float(((found - exact).square().sum() / exact.square().sum()).sqrt())


@dataclass(frozen=True)
class InterpolantChoices(Experiment):
    """Follow the exact fields of every kind of interpolant through stochastic Heun steps and compare the samples'
    moments with those of the target. Figure: the largest error of a mean or covariance (`moment error`).
    """

    epsilon: float = 0.5
    rows: int = 10_000
    steps: int = 100

    def run(self, seed: int) -> Figures:
        """Sample with every choice."""
        paths: list[tuple[Gaussian, Path]] = [
            (SOURCE, Interpolant(TrigBlend())), (SOURCE, Interpolant(gamma=QuadraticGamma())),
            (SOURCE, Interpolant(TrigBlend(), SineGamma(0.8))), (SOURCE, Interpolant(gamma=SigmoidGamma())),
            (SOURCE, Interpolant(EncodingDecoding(), SineGamma())), (TARGET, Interpolant(Mirror(), SineGamma())),
        ]  # fmt: skip
        solver = SDE("stochastic-heun", self.steps, Constant(2 * self.epsilon))
        errors: list[float] = []
        for source, path in paths:
            assert isinstance(path, Interpolant)
            oracle = InterpolantOracle(source, TARGET, path.coefficients)
            x = source.sample(self.rows, generator=seeded(seed, "start"))
            end = solver.solve(oracle, x, generator=seeded(seed, "noise")).x
            errors += moment_errors(end, TARGET.mean, TARGET.covariance)
        return {"moment error": max(errors)}

    def pieces(self) -> list[str]:
        """Return what was tried."""
        choices = ["LinearBlend", "TrigBlend", "EncodingDecoding", "Mirror"]
        return ["Interpolant", *choices, "BrownianGamma", "QuadraticGamma", "SineGamma", "SigmoidGamma"]


@dataclass(frozen=True)
class _Perturbed:
    """A field with a fixed linear term added to its velocity."""

    oracle: InterpolantOracle

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        turn = torch.tensor([[0.1, -0.4], [0.3, 0.2]]).to(x)
        return self.oracle.velocity(x, t) + x @ turn.mT + torch.tensor([0.3, -0.2]).to(x)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.oracle.score(x, t)


@dataclass(frozen=True)
class LikelihoodBound(Experiment):
    """Add a fixed linear field to the exact velocity: the law at t = 1 stays Gaussian, so that its divergence from the
    truth is known, and compare it with the bound.

    Figures at each epsilon: `exact KL, epsilon 0.5` and `KL bound, epsilon 0.5`; and their largest ratio (`KL over
        bound`).
    """

    steps: int = 200
    rows: int = 2000

    def run(self, seed: int) -> Figures:
        """Integrate the moments and evaluate the bound on states drawn with this seed."""
        figures: Figures = {}
        oracle, nodes = InterpolantOracle(SOURCE, TARGET, Interpolant().coefficients), torch.linspace(0, 1, 41)
        states = [oracle.sample(self.rows, float(t), generator=seeded(seed, "states", i)) for i, t in enumerate(nodes)]
        for epsilon in EPSILONS:
            bound = kl_bound(oracle, _Perturbed(oracle), states, nodes, Constant(2 * epsilon))
            figures[f"KL bound, epsilon {epsilon:g}"] = bound.value
            figures[f"exact KL, epsilon {epsilon:g}"] = self._exact(oracle, epsilon)
        ratios = [figures[f"exact KL, epsilon {e:g}"] / figures[f"KL bound, epsilon {e:g}"] for e in EPSILONS]
        return figures | {"KL over bound": max(ratios)}

    def _exact(self, oracle: InterpolantOracle, epsilon: float) -> float:
        """Integrate `m' = f(m)` and `C' = A C + C A^T + 2 epsilon I` of the perturbed equation by the midpoint rule."""
        model = _Perturbed(oracle)
        mean, covariance = SOURCE.mean.double(), SOURCE.covariance.double()

        def rates(mean: Tensor, covariance: Tensor, t: float) -> tuple[Tensor, Tensor]:
            points = torch.cat([mean[None], mean + torch.eye(2).double()])
            times = torch.full((3,), t).double()
            drift = model.velocity(points, times) + epsilon * model.score(points, times)
            A = (drift[1:] - drift[0]).mT
            return drift[0], A @ covariance + covariance @ A.mT + 2 * epsilon * torch.eye(2).double()

        h = 1 / self.steps
        for k in range(self.steps):
            dm, dC = rates(mean, covariance, k * h)
            dm, dC = rates(mean + h / 2 * dm, covariance + h / 2 * dC, (k + 0.5) * h)
            mean, covariance = mean + h * dm, covariance + h * dC
        return float(torch.distributions.kl_divergence(_law(TARGET.mean, TARGET.covariance), _law(mean, covariance)))

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["InterpolantOracle", "kl_bound"]


def _law(mean: Tensor, covariance: Tensor) -> torch.distributions.MultivariateNormal:
    return torch.distributions.MultivariateNormal(mean.double(), covariance.double())
