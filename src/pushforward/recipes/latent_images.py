"""MNIST in the latent space of an autoencoder, and in pixels: what the same time buys."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from pushforward.configuration import build
from pushforward.contracts import Path
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.metrics import energy_distance
from pushforward.objectives import FlowMatching
from pushforward.paths import Affine, Latent
from pushforward.randomness import seeded
from pushforward.recipes.digits import read_as, real_sheet, sheets_by_class, split_digits
from pushforward.recipes.experiment import Figures, ImageExperiment, Outcome, Sheet, class_names
from pushforward.training import Trainer, fit, fit_codec

__all__ = ["LatentImages"]


@dataclass(frozen=True)
class LatentImages(ImageExperiment):
    """Fit flows by class to 8,000 of MNIST's test digits: `steps` in pixels, `latent_steps` in the latent space of an
    autoencoder that is trained for `codec_steps` before. Networks, batches, and condition dropout are the same.

    Figures against the 2,000 held-out digits, of `latent` and `pixels`: `energy distance`, `read as asked` with
    guidance 2 and `plain`, `seconds` of CPU time of training. And `share of training`, the seconds of the latent flow
    over those of the other; `codec seconds`, what the autoencoder took; `energy distance of reconstructions` and
    `floor`, that of training digits.
    """

    steps: int = 120
    latent_steps: int = 300
    codec_steps: int = 300
    rows: int = 200
    autoencoder: dict[str, Any] = field(default_factory=lambda: {"class_path": "Autoencoder"})
    network: dict[str, Any] = field(default_factory=lambda: {"class_path": "UNet"})

    def shown(self, seed: int) -> Outcome:
        """Fit both and compare."""
        train, held_out = split_digits("mnist", seed)
        trainer = Trainer(steps=self.codec_steps, batch_size=64, learning_rate=2e-3, warmup=50, prefetch=0)
        started = time.thread_time()
        codec = fit_codec(train.x, build(self.autoencoder), trainer=trainer, seed=seed)
        figures: Figures = {
            "codec seconds": time.thread_time() - started,
            "energy distance of reconstructions": float(
                energy_distance(codec.decode(codec.encode(held_out.x)), held_out.x)
            ),
            "energy distance floor": float(energy_distance(train.x[: self.rows], held_out.x)),
        }
        latent = self._contest("latent", Latent(codec), self.latent_steps, train, held_out, seed)
        pixels = self._contest("pixels", Affine(), self.steps, train, held_out, seed)
        figures |= latent.figures | pixels.figures
        figures["share of training"] = figures["latent seconds"] / figures["pixels seconds"]
        return Outcome(figures, (*latent.sheets, *pixels.sheets, real_sheet(held_out)))

    def _contest(self, name: str, path: Path, steps: int, train: Empirical, held_out: Empirical, seed: int) -> Outcome:
        started = time.thread_time()
        flow = self._fit(path, steps, train, seed)
        seconds, wanted = time.thread_time() - started, torch.arange(self.rows) % 10
        noise = torch.randn(self.rows, *train.event_shape, generator=seeded(seed, "noise"))
        plain, guided = (flow.push(noise, {"label": wanted}, steps=16, guidance=scale).cpu() for scale in (1.0, 2.0))
        figures = {
            f"{name} energy distance": float(energy_distance(plain, held_out.x)),
            f"{name} read as asked": read_as(held_out, guided, wanted),
            f"{name} read as asked, plain": read_as(held_out, plain, wanted),
            f"{name} seconds": seconds,
        }
        sheets = (Sheet(f"{name}: {sheet.caption}", sheet.images) for sheet in sheets_by_class(plain, guided))
        return Outcome(figures, tuple(sheets))

    def _fit(self, path: Path, steps: int, train: Empirical, seed: int) -> FlowTransport:
        trainer = Trainer(steps=steps, batch_size=64, warmup=50, prefetch=0)
        objective, network = FlowMatching(condition_dropout=0.1), build(self.network)
        return fit("gaussian", train, network=network, path=path, objective=objective, trainer=trainer, seed=seed)

    def pieces(self) -> list[str]:
        """Return what was tried."""
        own = ["Latent", "VariationalCodec", "VariationalReconstruction", "ClassifierFree"]
        return [*own, *class_names(self.autoencoder), *class_names(self.network)]
