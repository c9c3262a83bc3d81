"""A network for every segment of time beside one for all times: what samples are worth, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.metrics import energy_distance
from pushforward.networks import MLP, Architecture, FeatureGuided, FeatureResidual, SegmentExperts, counted_cost
from pushforward.objectives import FeatureAlignment, FeatureApproximation, FlowMatching, Objective
from pushforward.paths import PrincipalComponents
from pushforward.randomness import seeded
from pushforward.recipes.digits import split_digits
from pushforward.recipes.experiment import Figures, ImageExperiment, Outcome, Sheet
from pushforward.training import Trainer, fit

__all__ = ["BlockwiseDigits"]

EDGES = (0.0, 0.25, 0.5, 0.75, 1.0)
SHOWN = 30
CAPTIONS = {
    "single": "one network",
    "wide": "one network, twice as wide",
    "experts": "an expert for each quarter of time",
    "experts fed": "experts that see four times as many rows",
    "guided": "experts told shared features",
    "followed": "features followed by a light network",
}


@dataclass(frozen=True)
class BlockwiseDigits(ImageExperiment):
    """Fit flows to half of scikit-learn's digits as vectors, without labels, and sample each by 16 Euler steps; with
    `data="mnist"` to 8,000 of MNIST's test images.

    `single` and `wide` are one network of `width` and of twice that; `experts` four of `width`, one for each quarter of
    time, on the same batches, and `experts fed` on batches four times as large, so that each of them sees as many rows
    as the single network does. `guided` experts are told features of a wide backbone, aligned with the 32 leading
    principal components of the data; `followed` is the same flow with the features followed from where a segment begins
    by a light network, trained for half as many steps again.

    Figures: `NAME energy distance` to the other half, `NAME megaflops`, the operations of sampling one row in millions,
    and of the last two `NAME backbone calls`; and the energy distance's `floor`, that of the training half.
    """

    width: int = 96
    steps: int = 1000
    data: Literal["digits", "mnist"] = "digits"

    def shown(self, seed: int) -> Outcome:
        """Fit and sample all of them."""
        images, held_out = split_digits(self.data, seed)
        train = Empirical(images.x.flatten(1))
        block, wide = MLP(self.width), MLP(2 * self.width)
        experts, plain = SegmentExperts(EDGES, block), FlowMatching()
        aligned = FeatureAlignment("backbone", PrincipalComponents(32))
        flows = {
            "single": self._fit(train, block, plain, 256, seed),
            "wide": self._fit(train, wide, plain, 256, seed),
            "experts": self._fit(train, experts, plain, 256, seed),
            "experts fed": self._fit(train, experts, plain, 256 * (len(EDGES) - 1), seed),
            "guided": self._fit(train, FeatureGuided(wide, experts), aligned, 256, seed),
        }
        flows["followed"] = fit(
            "gaussian", train, init=flows["guided"], adapter=FeatureResidual(MLP(64, 2)),
            objective=FeatureApproximation(), trainer=Trainer(steps=self.steps // 2), seed=seed,
        )  # fmt: skip
        found: Figures = {"floor": float(energy_distance(train.x, held_out.x.flatten(1)))}
        sheets = [Sheet("held out, real", held_out.x[:SHOWN])]
        for name, flow in flows.items():
            made, figures = _sampled(flow, held_out.x.flatten(1), seed)
            found |= {f"{name} {figure}": value for figure, value in figures.items()}
            sheets.append(Sheet(CAPTIONS[name], made[:SHOWN].reshape(-1, *images.event_shape)))
        return Outcome(found, tuple(sheets))

    def _fit(
        self, train: Empirical, network: Architecture, objective: Objective, batch_size: int, seed: int
    ) -> FlowTransport:
        trainer = Trainer(steps=self.steps, batch_size=batch_size)
        return fit("gaussian", train, network=network, objective=objective, trainer=trainer, seed=seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return [
            "SegmentExperts", "FeatureGuided", "FeatureAlignment", "PrincipalComponents", "FeatureResidual",
            "FeatureApproximation", "FlowMatching", "MLP", "Independent", "Affine",
        ]  # fmt: skip


def _sampled(flow: FlowTransport, held_out: Tensor, seed: int) -> tuple[Tensor, Figures]:
    """Return what 16 Euler steps make of as much noise as there are held-out rows, and figures of it."""
    noise = torch.randn(held_out.shape, generator=seeded(seed, "noise"))
    backbones = [name for name, _ in flow.field.named_modules() if name.endswith("backbone")]
    with counted_cost(flow.field, *backbones) as cost:
        made = flow.push(noise, steps=16, method="euler")
    figures = {
        "energy distance": float(energy_distance(made, held_out)),
        "megaflops": cost.flops / len(noise) / 1e6,
    }
    return made, figures | ({"backbone calls": float(cost.called.total())} if backbones else {})
