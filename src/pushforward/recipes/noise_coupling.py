"""A learnt coupling of noise and data in consistency training, beside independent pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pushforward.configuration import build
from pushforward.contracts import Pairs
from pushforward.maps import FlowTransport
from pushforward.measures import as_measure
from pushforward.objectives import Objective, divergence_from_noise
from pushforward.paths import VariationalNoise
from pushforward.randomness import seeded
from pushforward.recipes.distances import mean_square
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.recipes.flow_maps import measured
from pushforward.training import fit_config

__all__ = ["LearntNoise"]

ROWS, BATCHES = 20_000, 20


@dataclass(frozen=True)
class LearntNoise(Experiment):
    """Train with independent noise, and with an encoder's, at the budget of `config`, arguments of `fit`.

    `variants` name the arguments of `fit` that differ. Figures of NAME: those of `FlowMaps`, in 1, 2 and 4 jumps; `pair
    cost NAME`, the mean squared distance of noise and data; `divergence NAME`, that of the encoder from N(0, I) in nats
    per number; `gradient variance NAME`, the trace of the covariance of the gradient in the map's own parameters, over
    20 batches of 256, after training.
    """

    config: dict[str, Any]
    variants: dict[str, dict[str, Any]]

    def run(self, seed: int) -> Figures:
        """Train each and measure it."""
        target = as_measure(build(self.config["target"]))
        x1 = target.sample(ROWS, generator=seeded(seed, "rows", "target"))
        x0 = torch.randn(ROWS, *target.event_shape, generator=seeded(seed, "rows", "source"))
        figures: Figures = {}
        for name, change in self.variants.items():
            config = self.config | change
            flow = fit_config(config | {"seed": seed})
            figures |= measured(flow, name, x0, x1, None, seed)
            figures |= {f"{figure} {name}": value for figure, value in _pairs(flow, x0, x1).items()}
            figures[f"gradient variance {name}"] = _spread(flow, build(config["objective"]), x0, x1)
        return figures

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return [*class_names(self.config), *class_names(self.variants)]


@torch.no_grad()
def _pairs(flow: FlowTransport, x0: torch.Tensor, x1: torch.Tensor) -> Figures:
    path = flow.field.path
    if not isinstance(path, VariationalNoise):
        return {"pair cost": mean_square(x0, x1), "divergence": 0.0}
    encoding = path.encoding(x1, None)
    return {
        "pair cost": mean_square(encoding.draw(x0), x1),
        "divergence": float(divergence_from_noise(encoding).mean()),
    }


def _spread(flow: FlowTransport, objective: Objective, x0: torch.Tensor, x1: torch.Tensor) -> float:
    field, gradients = flow.field, []
    for number in range(BATCHES):
        rows = slice(256 * number, 256 * (number + 1))
        pairs = Pairs(x0[rows], x1[rows], gaussian_source=True)
        total = objective(field, pairs, field.path, generator=seeded(number, "gradient")).total
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(total, list(field.network.parameters()))]))
    return float(torch.stack(gradients).var(0).sum())
