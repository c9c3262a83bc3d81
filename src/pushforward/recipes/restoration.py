"""Restoring samples of a Gaussian process, whose posterior is known: from the observation, and from noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling
from pushforward.couplings import Corruption, Degraded, Holed, Independent
from pushforward.geometry import AveragePool, Hole
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Gaussian
from pushforward.metrics import path_energy
from pushforward.networks import MLP, Architecture, Concatenated, FrozenWhereKnown
from pushforward.observations import Observation
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["InPainting", "SuperResolution"]

POINTS, DRAWS = 32, 16


@dataclass(frozen=True)
class SuperResolution(Experiment):
    """Restore samples of a Gaussian process on 32 points from averages of blocks of 4.

    Two flows with the same network, data and batches: `corruption` starts from the repeated averages with noise of 0.3,
    `noise` from N(0, I) with the averages as a condition. Figures of each: `path energy`, `energy integral |v|^2` over
    the learned paths; `error@N`, how far the mean of 16 samples after N Euler steps is from the exact posterior mean,
    root mean square; `deviation@N`, the deviation of the samples over that of the posterior.
    """

    steps: int = 1000
    rows: int = 300

    def run(self, seed: int) -> Figures:
        """Fit both flows and compare them with the posterior."""
        return _contest(Degraded(AveragePool(4), 0.3), MLP(), self.steps, self.rows, seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Corruption", "Degraded", "AveragePool", "Concatenated", "MLP"]


@dataclass(frozen=True)
class InPainting(Experiment):
    """Fill holes of 16 points in samples of a Gaussian process on 32.

    As `SuperResolution`, with the figures over the points of the holes; and `known error`, the largest error of a
    known entry after 4 Euler steps.
    """

    steps: int = 1000
    rows: int = 300

    def run(self, seed: int) -> Figures:
        """Fit both flows and compare them with the posterior."""
        return _contest(Holed(Hole(0.5)), MLP(), self.steps, self.rows, seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Corruption", "Holed", "Hole", "FrozenWhereKnown", "Concatenated", "MLP"]


def _contest(observation: Observation, network: Architecture, steps: int, rows: int, seed: int) -> Figures:
    process = _process()
    data, truth = (process.sample(n, generator=seeded(seed, n)).float() for n in (20_000, rows))
    holed = isinstance(observation, Holed)
    seen = Concatenated(network)
    entries: dict[str, tuple[Coupling, Architecture, Condition | None]] = {
        "corruption": (Corruption(observation), FrozenWhereKnown(seen) if holed else seen, None),
        "noise": (Independent(), seen, observation.observe(data, generator=seeded(seed, "masks"))),
    }
    known = observation.observe(truth, generator=seeded(seed, "masks of the test"))
    mean, deviation = _posterior(process, truth, known)
    inside = (known["known"] < 0.5) if holed else torch.ones_like(truth, dtype=torch.bool)
    figures: Figures = {}
    for name, (coupling, net, condition) in entries.items():
        transport = fit(
            "gaussian", Empirical(data, condition), coupling=coupling, network=net, normalise="none", seed=seed,
            trainer=Trainer(steps=steps, batch_size=256),
        )  # fmt: skip
        noise = torch.randn(DRAWS, *truth.shape, generator=seeded(seed, "noise"))
        figures[f"{name} path energy"] = _energy(transport, noise[0], known)
        for count in (1, 2, 4):
            made = torch.stack([transport.push(x, known, steps=count, method="euler") for x in noise])
            error = (made.mean(0) - mean)[inside].square().mean().sqrt()
            figures[f"{name} error@{count}"] = float(error)
            spread = made.var(0)[inside].mean() / deviation.square()[inside].mean()
            figures[f"{name} deviation@{count}"] = float(spread.sqrt())
            if holed and count == 4:
                figures[f"{name} known error"] = float((made - truth)[:, ~inside].abs().max())
    return figures


def _process() -> Gaussian:
    """A Gaussian process with a squared exponential kernel of length 3 on 32 points, and a little noise."""
    place = torch.arange(POINTS, dtype=torch.float64)
    kernel = torch.exp(-0.5 * ((place[:, None] - place) / 3).square())
    return Gaussian(torch.zeros(POINTS, dtype=torch.float64), kernel + 0.01 * torch.eye(POINTS, dtype=torch.float64))


def _posterior(process: Gaussian, truth: Tensor, known: Condition) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of each entry given what is known, both `(rows, 32)`."""
    eye, kernel = torch.eye(POINTS, dtype=torch.float64), process.covariance
    if "known" in known:
        keep = known["known"].double()
        measured = keep[:, :, None] * eye
        # rows of the measurement that see nothing would be singular: a unit variance leaves them without effect
        gram = measured @ kernel @ measured + (1 - keep)[:, :, None] * eye
    else:
        measured = AveragePool(4).measure(eye).T
        gram = measured @ kernel @ measured.T
    gain = torch.linalg.solve(gram, measured @ kernel)
    mean = ((measured @ truth.double()[:, :, None]).mT @ gain)[:, 0]
    covariance = kernel - (measured @ kernel).mT @ gain
    deviation = covariance.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    return mean.float(), deviation.float().expand_as(truth)


def _energy(transport: FlowTransport, x: Tensor, known: Condition) -> float:
    solution = transport.trajectory(x, known, times=51, solver=FixedStep("euler", 50))
    assert solution.path is not None and solution.nodes is not None
    return float(path_energy(solution.path, solution.nodes))
