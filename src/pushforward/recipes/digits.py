"""Digits by class: are generated images read as the class that was asked for, and are they like held-out ones?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.measures import Empirical, digits
from pushforward.metrics import energy_distance
from pushforward.objectives import FlowMatching
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import Trainer, fit

__all__ = ["DigitsByClass"]


@dataclass(frozen=True)
class DigitsByClass(Experiment):
    """Fit a conditional flow from noise to half of scikit-learn's digits and generate `rows` of them by class.

    `network` is the description of an architecture.

    Figures: `read as asked`, the share that a 5-nearest-neighbour classifier on the held-out digits reads as the class
        asked for, with guidance `guidance`; `read as asked, plain` without; `held-out accuracy`, the same classifier
        from one half of the real digits to the other; `energy distance` of plain samples to the held-out digits and its
        `floor`, the training half itself; `parameters` of the network, and `training seconds`.
    """

    steps: int = 1000
    rows: int = 500
    guidance: float = 2.0
    network: dict[str, Any] = field(default_factory=lambda: {"class_path": "UNet"})

    def run(self, seed: int) -> Figures:
        """Fit, generate, classify."""
        everything = digits()
        order = torch.randperm(len(everything), generator=seeded(seed, "halves"))
        train, held_out = everything[order[: len(order) // 2]], everything[order[len(order) // 2 :]]
        trainer = Trainer(steps=self.steps, batch_size=64)
        objective, started = FlowMatching(condition_dropout=0.1), time.perf_counter()
        transport = fit("gaussian", train, network=build(self.network), objective=objective, trainer=trainer, seed=seed)
        seconds = time.perf_counter() - started
        wanted = torch.arange(self.rows) % 10
        noise = torch.randn(self.rows, *train.event_shape, generator=seeded(seed, "noise"))
        plain = transport.push(noise, {"label": wanted}, steps=16)
        guided = transport.push(noise, {"label": wanted}, steps=16, guidance=self.guidance)
        return {
            "read as asked": _agreement(held_out, guided, wanted),
            "read as asked, plain": _agreement(held_out, plain, wanted),
            "held-out accuracy": _agreement(held_out, train.x, _labels(train)),
            "energy distance": float(energy_distance(plain, held_out.x)),
            "energy distance floor": float(energy_distance(train.x[: self.rows], held_out.x)),
            "parameters": float(sum(p.numel() for p in transport.field.parameters())),
            "training seconds": seconds,
        }

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "FlowMatching", *class_names(self.network), "ClassifierFree"]


def _labels(measure: Empirical) -> Tensor:
    assert measure.condition is not None  # digits always have labels
    return measure.condition["label"]


def _agreement(known: Empirical, images: Tensor, wanted: Tensor) -> float:
    nearest = torch.cdist(images.flatten(1), known.x.flatten(1)).topk(5, largest=False).indices
    read = _labels(known)[nearest].mode(1).values
    return float((read == wanted).double().mean())
