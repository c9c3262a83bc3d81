"""Codes to clusters: flows whose source is the encoded condition, beside one that is told it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.conditions import Condition, encode
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, PairedOracle
from pushforward.metrics import energy_distance
from pushforward.paths import CondOT, EncodedSource
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import FixedStep
from pushforward.training import fit_config

__all__ = ["CodesToClusters", "ExactClusters"]

CLASSES, RADIUS, SPREAD, NUISANCES = 10, 4.0, 0.3, 4


@dataclass(frozen=True)
class CodesToClusters(Experiment):
    """Fit a flow to ten clusters on a circle of radius 4, deviation 0.3, whose condition is the class and four numbers
    that mean nothing, by `config`, arguments of `fit`.

    Figures, of points that 50 Euler steps make of the conditions of `rows` fresh points: `accuracy`, the share nearest
    to the centre of their class, and `accuracy, guided` at guidance 2; `recall`, the share of fresh points of a class
    that lie within the distance to the third neighbour of a point made of it, on average over classes, and `energy
    distance` likewise. Where the condition is encoded: `between`, the share of points that land at either of two
    neighbouring classes, started from halfway between their mean starts.
    """

    config: dict[str, Any] = field(default_factory=dict)
    rows: int = 2000

    def run(self, seed: int) -> Figures:
        """Fit, push, compare class by class."""
        data, fresh = _clusters(20_000, seed, "data"), _clusters(self.rows, seed, "fresh")
        transport = fit_config({"source": "gaussian", "target": data, "seed": seed} | self.config)
        noise = torch.randn(self.rows, 2, generator=seeded(seed, "noise"))
        made, guided = (
            transport.push(noise, fresh.condition, steps=50, method="euler", guidance=scale) for scale in (1.0, 2.0)
        )
        label = _label(fresh)
        classes = [(fresh.x[label == k], made[label == k]) for k in range(CLASSES)]
        figures = {
            "accuracy": _share(_nearest(made) == label), "accuracy, guided": _share(_nearest(guided) == label),
            "recall": sum(_recall(real, own) for real, own in classes) / CLASSES,
            "energy distance": sum(float(energy_distance(real, own)) for real, own in classes) / CLASSES,
        }  # fmt: skip
        path = transport.field.path
        return figures | ({"between": _between(transport, path, noise)} if isinstance(path, EncodedSource) else {})

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return class_names(self.config)


@dataclass(frozen=True)
class ExactClusters(Experiment):
    """The exact velocity, which knows no class, from starts N(`scale` centre_k, I) to the clusters, in 40 Euler steps.

    Figures: `accuracy` of the points that starts of a class become, and `accuracy, guided` at guidance 2 by the exact
    velocity of null rows, where every class may go to every cluster.
    """

    scale: float = 1.0
    rows: int = 500

    def run(self, seed: int) -> Figures:
        """Follow the flow, plain and guided."""
        own, every = torch.arange(CLASSES), torch.cartesian_prod(torch.arange(CLASSES), torch.arange(CLASSES)).unbind(1)
        paired, null = self._oracle(own, own), self._oracle(*every)
        label = torch.arange(self.rows) % CLASSES
        start = self.scale * _centres()[label] + torch.randn(self.rows, 2, generator=seeded(seed, "start"))
        made, guided = start, start
        for t in torch.linspace(0, 1, 41)[:-1].unsqueeze(1).expand(-1, self.rows):
            made = made + paired.velocity(made, t) / 40
            guided = guided + torch.lerp(null.velocity(guided, t), paired.velocity(guided, t), 2.0) / 40
        return {"accuracy": _share(_nearest(made) == label), "accuracy, guided": _share(_nearest(guided) == label)}

    def _oracle(self, source: Tensor, target: Tensor) -> PairedOracle:
        centres, ones = _centres(), torch.ones(len(source), 2)
        ends = self.scale * centres[source], ones, centres[target], SPREAD**2 * ones
        return PairedOracle(ones[:, 0] / len(source), *ends, CondOT())

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["PairedOracle"]


def _centres() -> Tensor:
    angle = 2 * math.pi * torch.arange(CLASSES) / CLASSES
    return RADIUS * torch.stack([angle.cos(), angle.sin()], 1)


def _clusters(n: int, seed: int, name: str) -> Empirical:
    generator = seeded(seed, name)
    label = torch.randint(CLASSES, (n,), generator=generator)
    x = _centres()[label] + SPREAD * torch.randn(n, 2, generator=generator)
    return Empirical(x, {"label": label, "nuisance": torch.randn(n, NUISANCES, generator=generator)})


def _label(measure: Empirical) -> Tensor:
    assert measure.condition is not None  # made with labels
    return measure.condition["label"]


def _nearest(x: Tensor) -> Tensor:
    return torch.cdist(x, _centres()).argmin(1)


def _share(right: Tensor) -> float:
    return float(right.double().mean())


def _recall(real: Tensor, made: Tensor, neighbours: int = 3) -> float:
    """Return the share of real points that are as near to a point that was made as its own neighbours are."""
    radius = torch.cdist(made, made).topk(neighbours + 1, largest=False).values[:, -1]
    return _share((torch.cdist(real, made) <= radius).any(1))


@torch.no_grad()
def _between(transport: FlowTransport, path: EncodedSource, noise: Tensor) -> float:
    """Start halfway between the starts of each class and the next, with the same noise."""
    first = torch.arange(len(noise)) % CLASSES
    second = (first + 1) % CLASSES
    told = [_told(transport, label) for label in (first, second)]
    halfway = (path.start(noise, told[0]) + path.start(noise, told[1])) / 2
    end = FixedStep("euler", 50).solve(transport.field, halfway, condition=told[0]).x
    landed = _nearest(transport.target_frame.restore(end))
    return _share((landed == first) | (landed == second))


def _told(transport: FlowTransport, label: Tensor) -> Condition | None:
    return encode({"label": label, "nuisance": torch.zeros(len(label), NUISANCES)}, transport.schema, len(label))
