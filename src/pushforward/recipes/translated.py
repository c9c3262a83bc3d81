"""Two domains in the plane, and translators between them made of one flow to both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.couplings import Independent
from pushforward.maps import FlowTransport
from pushforward.measures import as_measure
from pushforward.metrics import energy_distance
from pushforward.networks import MLP, WithCritic
from pushforward.objectives import FlowMatching, Translation
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.training import Trainer, fit

__all__ = ["Translated"]

ROWS = 4000
A, B = {"domain": "a"}, {"domain": "b"}


@dataclass(frozen=True)
class Translated(Experiment):
    """Train a flow to two moons (a) and to the same turned by a quarter and scaled by 0.7 (b), told which with dropout,
    and train it on as a translator with each of several `heads`, solvers, by `Translation` with a critic and with the
    weights `cycle` and `identity`.

    Figures of NAME on fresh points: `residual NAME`, before training, the mean over both domains of `|G(x) - x| / |x|`
    where G is told the domain of x; `before NAME` and `after NAME`, the energy distance of translations of a to b;
    `back NAME` of those of b to a; and `cycle NAME`, the mean distance of `G(G(x, b), a)` from x. `untranslated` is the
    energy distance of a from b.
    """

    heads: dict[str, dict[str, Any]]
    training: int = 2000
    steps: int = 800
    width: int = 96
    learning_rate: float = 1e-3
    cycle: float = 10.0
    identity: float = 5.0

    def run(self, seed: int) -> Figures:
        """Train the flow and each translator, and measure."""
        a, b = _domains(seed, "known")
        both, domain = torch.cat([a, b]), {"domain": ["a"] * len(a) + ["b"] * len(b)}
        flow = fit(
            "gaussian", both, condition=domain, network=MLP(width=self.width), normalise="none", seed=seed,
            objective=FlowMatching(condition_dropout=0.1), show_progress=False,
            trainer=Trainer(steps=self.training, batch_size=256, learning_rate=2e-3),
        )  # fmt: skip
        a, b = _domains(seed, "fresh")
        figures = {"untranslated": _distance(a, b)}
        for name, description in self.heads.items():
            head = build(description)
            figures |= _before(name, flow.with_solver(head), a, b)
            translator = fit(
                both, both, condition=domain, init=flow, adapter=WithCritic(), seed=seed, show_progress=False,
                coupling=Independent(),
                objective=Translation(cycle=self.cycle, identity=self.identity, generator=head),
                trainer=Trainer(steps=self.steps, batch_size=256, learning_rate=self.learning_rate, ema=0.99),
            )  # fmt: skip
            figures |= _after(name, translator, a, b)
        return figures

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return ["Translation", "WithCritic", "FlowMatching", "MLP", *class_names(self.heads)]


def _domains(seed: int, name: str) -> tuple[Tensor, Tensor]:
    moons = as_measure("moons-torchdyn")
    a, b = (moons.sample(ROWS, generator=seeded(seed, name, domain)) for domain in "ab")
    middle = a.new_tensor([0.5, 0.25])
    a, b = a - middle, b - middle
    return a, 0.7 * torch.stack([-b[:, 1], b[:, 0]], 1)


def _before(name: str, flow: FlowTransport, a: Tensor, b: Tensor) -> Figures:
    far = [((flow.push(x, own) - x).norm(dim=1) / x.norm(dim=1)).mean() for x, own in ((a, A), (b, B))]
    return {f"residual {name}": float(torch.stack(far).mean()), f"before {name}": _distance(flow.push(a, B), b)}


def _after(name: str, translator: FlowTransport, a: Tensor, b: Tensor) -> Figures:
    there = translator.push(a, B)
    return {
        f"after {name}": _distance(there, b),
        f"back {name}": _distance(translator.push(b, A), a),
        f"cycle {name}": float((translator.push(there, A) - a).norm(dim=1).mean()),
    }


def _distance(x: Tensor, y: Tensor) -> float:
    return float(energy_distance(x, y, estimator="unbiased"))
