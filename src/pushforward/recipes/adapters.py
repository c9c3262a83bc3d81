"""Few steps by a low-rank adapter, on the flow that it was trained beside and on a sibling of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import radians
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.distillation import ADAPTER, Plugged, distil
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, as_measure
from pushforward.networks import LoRA
from pushforward.randomness import seeded
from pushforward.recipes.distances import sliced
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.recipes.rotations import rotation
from pushforward.training import Trainer, fit_config

__all__ = ["PluggedAdapters"]

ROWS = 20_000


@dataclass(frozen=True)
class PluggedAdapters(Experiment):
    """Train a flow with `config`, options of `fit` for the target `ring`, and fine-tune a sibling of it for `tuning`
    steps to the ring turned by `degrees`; distil the flow by `method` through an adapter of `rank`, trained as
    `trainer` says, and add the adapter alone to the sibling.

    Figures, on 20,000 points: `sliced W2@N NAME` in N = 1, 2, 4 steps, of the flow (`flow`) and the `sibling` in Euler
    steps, of the `student` and of the sibling with the adapter (`plugged`), each to its own target, and `student
    turned`, the student to the target of the sibling; `floor`, of two samples of the ring. `share` is that of the
    adapter's weights among all.
    """

    config: dict[str, Any]
    method: dict[str, Any]
    trainer: dict[str, Any] = field(default_factory=dict)
    rank: int = 8
    tuning: int = 500
    degrees: float = 10.0

    def run(self, seed: int) -> Figures:
        """Train, distil, plug in and measure."""
        ring = as_measure("ring")
        x0, x1, fresh = (
            torch.randn(ROWS, 2, generator=seeded(seed, "noise")),
            *(ring.sample(ROWS, generator=seeded(seed, name)) for name in ("target", "fresh")),
        )
        turned = x1 @ rotation(radians(self.degrees))
        flow = fit_config(self.config | {"source": "gaussian", "target": ring, "seed": seed})
        tuning = {"trainer": self.config["trainer"] | {"steps": self.tuning}, "seed": seed + 1, "init": flow}
        fixed = {name: value for name, value in self.config.items() if name != "network"}
        sibling = fit_config(fixed | {"source": "gaussian", "target": Empirical(turned)} | tuning)
        with TemporaryDirectory() as folder:
            data = {"source": "gaussian", "target": ring, "steps": 2, "seed": seed}
            student = distil(
                flow, build(self.method), adapter=LoRA(self.rank), trainer=Trainer(**self.trainer), out=folder,
                overwrite=True, show_progress=False, **data,
            )  # fmt: skip
            plugged = distil(sibling, Plugged(str(Path(folder) / ADAPTER)), **data)
        tried = {"flow": (flow, x1), "sibling": (sibling, turned), "student": (student, x1)}
        tried |= {"plugged": (plugged, turned), "student turned": (student, turned)}
        figures = {"floor": sliced(fresh, x1), "share": _share(student)}
        for name, (transport, target) in tried.items():
            for steps in (1, 2, 4):
                figures[f"sliced W2@{steps} {name}"] = sliced(_pushed(transport, x0, steps, seed), target)
        return figures

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return [*class_names(self.config), *class_names(self.method), "LoRA", "Plugged"]


def _pushed(flow: FlowTransport, x: Tensor, steps: int, seed: int) -> Tensor:
    return flow.push(x, steps=steps, generator=seeded(seed, "steps"))


def _share(student: FlowTransport) -> float:
    """Return the share of the student's weights that are the adapter's."""
    sizes = [(value.numel(), value.requires_grad) for value in student.field.parameters()]
    return sum(size for size, trained in sizes if trained) / sum(size for size, _ in sizes)
