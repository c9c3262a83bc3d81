"""What a flow in the latent space of an autoencoder can be asked for: a class, a missing half, a map."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.metrics import energy_distance
from pushforward.networks import Architecture, Concatenated
from pushforward.objectives import FlowMatching
from pushforward.paths import Codec, Latent
from pushforward.randomness import seeded
from pushforward.recipes.digits import labels_of, read_as, real_sheet, sheets_by_class, split_digits
from pushforward.recipes.experiment import Figures, ImageExperiment, Outcome, Sheet, class_names
from pushforward.training import Trainer, fit, fit_codec

__all__ = ["LatentTasks"]

SHOWN = 20


@dataclass(frozen=True)
class LatentTasks(ImageExperiment):
    """Train an autoencoder on half of scikit-learn's digits for `codec_steps`, then three flows in its latent space for
    `steps` each, with conditions dropped from one row in ten: by class; by the upper half (encoded) and a mask
    (resized), which is in-painting; and by a map of where there is ink (resized).

    Figures, on held-out digits: `reconstruction`, the mean squared error over the variance, and `energy distance` of
    what is made by class, its `floor`, and that of the reconstructions; `read as asked` by a 5-nearest-neighbour
    classifier with guidance 2, and `plain`; `hole error`, the mean squared error in the lower half given the upper, and
    `unconditional`; `map agreement`, the share of pixels where ink is where it was asked for, and `unconditional`.
    """

    codec_steps: int = 500
    steps: int = 600
    autoencoder: dict[str, Any] = field(default_factory=lambda: {"class_path": "Autoencoder"})
    network: dict[str, Any] = field(default_factory=lambda: {"class_path": "UNet"})

    def shown(self, seed: int) -> Outcome:
        """Train everything and ask."""
        train, held_out = split_digits("digits", seed)
        trainer = Trainer(steps=self.codec_steps, batch_size=64, learning_rate=2e-3)
        codec = fit_codec(train.x, build(self.autoencoder), trainer=trainer, seed=seed)
        again = codec.decode(codec.encode(held_out.x))
        figures: Figures = {
            "reconstruction": float((again - held_out.x).square().mean() / held_out.x.var()),
            "energy distance of reconstructions": float(energy_distance(again, held_out.x)),
            "energy distance floor": float(energy_distance(train.x, held_out.x)),
        }
        asks = (self._by_class, self._in_painting, self._by_map)
        outcomes = [ask(codec, train, held_out, seed) for ask in asks]
        for outcome in outcomes:
            figures |= outcome.figures
        return Outcome(figures, tuple(sheet for outcome in outcomes for sheet in outcome.sheets))

    def _fit(self, path: Latent, train: Empirical, network: Architecture, seed: int) -> FlowTransport:
        objective, trainer = FlowMatching(condition_dropout=0.1), Trainer(steps=self.steps, batch_size=64)
        return fit("gaussian", train, network=network, path=path, objective=objective, trainer=trainer, seed=seed)

    def _by_class(self, codec: Codec, train: Empirical, held_out: Empirical, seed: int) -> Outcome:
        flow = self._fit(Latent(codec), train, build(self.network), seed)
        wanted = torch.arange(len(held_out)) % 10
        push = partial(flow.push, _noise(held_out, seed), {"label": wanted}, steps=16)
        plain, guided = push().cpu(), push(guidance=2.0).cpu()
        figures = {
            "energy distance": float(energy_distance(plain, held_out.x)),
            "read as asked": read_as(held_out, guided, wanted),
            "read as asked, plain": read_as(held_out, plain, wanted),
            "held-out accuracy": read_as(held_out, train.x, labels_of(train)),
        }
        return Outcome(figures, (*sheets_by_class(plain, guided), real_sheet(held_out)))

    def _in_painting(self, codec: Codec, train: Empirical, held_out: Empirical, seed: int) -> Outcome:
        path = Latent(codec, encoded=("observation",), resized=("known",))
        network = Concatenated(build(self.network), ("observation", "known"))
        flow = self._fit(path, Empirical(train.x, _upper_half(train.x)), network, seed)
        asked = _upper_half(held_out.x)
        made, free = (flow.push(_noise(held_out, seed), rows, steps=16).cpu() for rows in (asked, {}))
        errors = [float((x - held_out.x)[:, :, 4:].square().mean()) for x in (made, free)]
        filled = torch.cat([held_out.x[:, :, :4], made[:, :, 4:]], 2)
        sheet = Sheet("lower halves filled in: real above, filled below", _alternating(held_out.x, filled))
        return Outcome(dict(zip(("hole error", "hole error, unconditional"), errors, strict=True)), (sheet,))

    def _by_map(self, codec: Codec, train: Empirical, held_out: Empirical, seed: int) -> Outcome:
        path = Latent(codec, resized=("ink",))
        flow = self._fit(path, Empirical(train.x, _ink(train.x)), Concatenated(build(self.network), ("ink",)), seed)
        made, free = (flow.push(_noise(held_out, seed), rows, steps=16).cpu() for rows in (_ink(held_out.x), {}))
        agree = [float(((x > 0) == (held_out.x > 0)).double().mean()) for x in (made, free)]
        sheet = Sheet("made from maps of ink: map above, made below", _alternating((held_out.x > 0) * 2.0 - 1, made))
        return Outcome(dict(zip(("map agreement", "map agreement, unconditional"), agree, strict=True)), (sheet,))

    def pieces(self) -> list[str]:
        """Return what was tried."""
        own = ["Latent", "VariationalCodec", "VariationalReconstruction", "Concatenated", "ClassifierFree"]
        return [*own, *class_names(self.autoencoder), *class_names(self.network)]


def _noise(held_out: Empirical, seed: int) -> Tensor:
    return torch.randn(held_out.x.shape, generator=seeded(seed, "noise"))


def _upper_half(x: Tensor) -> dict[str, Tensor]:
    """Return images without their lower half, and where they are known."""
    known = torch.zeros(x.shape)
    known[:, :, : x.shape[2] // 2] = 1
    return {"observation": torch.where(known > 0, x, 0).flatten(1), "known": known.flatten(1)}


def _ink(x: Tensor) -> dict[str, Tensor]:
    """Return one-hot maps of two classes: paper and ink."""
    return {"ink": torch.cat([x <= 0, x > 0], 1).float().flatten(1)}


def _alternating(above: Tensor, below: Tensor) -> Tensor:
    """Return the first images of both, a row of the one over a row of the other."""
    rows = [images[first : first + 10] for first in range(0, SHOWN, 10) for images in (above, below)]
    return torch.cat(rows)
