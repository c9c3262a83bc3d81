"""Digits by class: are generated images read as the class that was asked for, and are they like held-out ones?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.measures import Empirical, digits
from pushforward.metrics import energy_distance
from pushforward.objectives import FlowMatching
from pushforward.randomness import seeded
from pushforward.recipes.data import mnist
from pushforward.recipes.experiment import ImageExperiment, Outcome, Sheet, class_names
from pushforward.training import fit

__all__ = ["DigitsByClass", "labels_of", "read_as", "real_sheet", "sheets_by_class", "split_digits"]


@dataclass(frozen=True)
class DigitsByClass(ImageExperiment):
    """Fit a conditional flow from noise to half of scikit-learn's digits and generate `rows` of them by class.

    `network` is the description of an architecture, `trainer` holds options of the trainer beside the steps. With
    `data="mnist"` the digits are 8,000 of MNIST's ten thousand test images, and 2,000 are held out.

    Figures: `read as asked`, the share that a 5-nearest-neighbour classifier on the held-out digits reads as the class
        asked for, with guidance `guidance`; `read as asked, plain` without; `held-out accuracy`, the same classifier
        from one half of the real digits to the other; `energy distance` of plain samples to the held-out digits and its
        `floor`, the training half itself; `parameters` of the network, and `training seconds`.
    """

    steps: int = 1000
    rows: int = 500
    guidance: float = 2.0
    data: Literal["digits", "mnist"] = "digits"
    network: dict[str, Any] = field(default_factory=lambda: {"class_path": "UNet"})
    trainer: dict[str, Any] = field(default_factory=lambda: {"batch_size": 64})

    def shown(self, seed: int) -> Outcome:
        """Fit, generate, classify."""
        train, held_out = split_digits(self.data, seed)
        trainer = build({"class_path": "Trainer", "init_args": self.trainer | {"steps": self.steps}})
        objective, started = FlowMatching(condition_dropout=0.1), time.perf_counter()
        transport = fit("gaussian", train, network=build(self.network), objective=objective, trainer=trainer, seed=seed)
        seconds = time.perf_counter() - started
        wanted = torch.arange(self.rows) % 10
        noise = torch.randn(self.rows, *train.event_shape, generator=seeded(seed, "noise"))
        plain = transport.push(noise, {"label": wanted}, steps=16).cpu()
        guided = transport.push(noise, {"label": wanted}, steps=16, guidance=self.guidance).cpu()
        figures = {
            "read as asked": read_as(held_out, guided, wanted),
            "read as asked, plain": read_as(held_out, plain, wanted),
            "held-out accuracy": read_as(held_out, train.x[:2000], labels_of(train)[:2000]),
            "energy distance": float(energy_distance(plain, held_out.x)),
            "energy distance floor": float(energy_distance(train.x[: self.rows], held_out.x)),
            "parameters": float(sum(p.numel() for p in transport.field.parameters())),
            "training seconds": seconds,
        }
        return Outcome(figures, (*sheets_by_class(plain, guided), real_sheet(held_out)))

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "FlowMatching", *class_names(self.network), "ClassifierFree"]


def split_digits(data: Literal["digits", "mnist"], seed: int) -> tuple[Empirical, Empirical]:
    """Return digits to train on and others that are held out: halves of scikit-learn's, or 8,000 and 2,000 of MNIST's
    test images.
    """
    everything = mnist() if data == "mnist" else digits()
    order = torch.randperm(len(everything), generator=seeded(seed, "halves"))
    first = 8000 if data == "mnist" else len(order) // 2
    return everything[order[:first]], everything[order[first:]]


def labels_of(measure: Empirical) -> Tensor:
    """Return the digits that the images show."""
    assert measure.condition is not None  # digits always have labels
    return measure.condition["label"]


def read_as(known: Empirical, images: Tensor, wanted: Tensor) -> float:
    """Return the share of images that a 5-nearest-neighbour classifier on the `known` ones reads as `wanted`."""
    nearest = torch.cdist(images.flatten(1), known.x.flatten(1)).topk(5, largest=False).indices
    read = labels_of(known)[nearest].mode(1).values
    return float((read == wanted).double().mean())


def sheets_by_class(plain: Tensor, guided: Tensor) -> tuple[Sheet, Sheet]:
    """Return sheets of images that were made of the classes 0 to 9 in turn: a row for each class."""
    by_class = torch.arange(100).reshape(10, 10).T.flatten()
    return Sheet("made, a row for each class", plain[by_class]), Sheet("made with guidance", guided[by_class])


def real_sheet(held_out: Empirical) -> Sheet:
    """Return a sheet of ten real digits of each class."""
    rows = [(labels_of(held_out) == digit).nonzero()[:10, 0] for digit in range(10)]
    return Sheet("held out, real", held_out.x[torch.cat(rows)])
