"""Flows in a latent space beside flows of the pixels, and the bound on what the codec costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.maps import FlowTransport
from pushforward.measures import Empirical
from pushforward.metrics import energy_distance, wasserstein2
from pushforward.networks import MLP
from pushforward.paths import Affine, Latent, PrincipalComponents
from pushforward.randomness import seeded
from pushforward.recipes.digits import split_digits
from pushforward.recipes.distances import root_mean_square
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.training import Trainer, fit

__all__ = ["LatentDigits"]


@dataclass(frozen=True)
class LatentDigits(Experiment):
    """Fit flows from noise to half of scikit-learn's digits: of `components` principal components for half of `steps`,
    and of all 64 pixels for `steps`, with the same network and batches.

    Figures, against the held-out half: `energy distance latent`, `energy distance pixels` and their `floor`, the
    training half; `share of training`, CPU time of the latent flow over that of the other. And the two sides of the
    bound: `W2` of the latent flow's samples, `W2 bound` = `reconstruction error` + `W2 of latents` (in the units of the
    data: times the decoder's Lipschitz constant), each between equal numbers of points.
    """

    steps: int = 800
    components: int = 12

    def run(self, seed: int) -> Figures:
        """Fit both and compare."""
        train, held_out = (half.x.flatten(1) for half in split_digits("digits", seed))
        noise = torch.randn(len(held_out), 64, generator=seeded(seed, "noise"))
        latent, seconds = self._fit(train, Latent(PrincipalComponents(self.components)), self.steps // 2, seed)
        pixels, baseline_seconds = self._fit(train, Affine(), self.steps, seed)
        made = latent.push(noise, steps=16)
        return {
            "energy distance latent": float(energy_distance(made, held_out)),
            "energy distance pixels": float(energy_distance(pixels.push(noise, steps=16), held_out)),
            "energy distance floor": float(energy_distance(train, held_out)),
            "share of training": seconds / baseline_seconds,
        } | _bound(latent, made, held_out)

    def _fit(self, train: Tensor, path: Affine | Latent, steps: int, seed: int) -> tuple[FlowTransport, float]:
        trainer, started = Trainer(steps=steps, batch_size=256, warmup=100, prefetch=0), time.thread_time()
        transport = fit("gaussian", Empirical(train), network=MLP(), path=path, trainer=trainer, seed=seed)
        return transport, time.thread_time() - started

    def pieces(self) -> list[str]:
        """Return what was tried."""
        return ["Latent", "PrincipalComponents", "Affine", "Independent", "FlowMatching", "MLP"]


def _bound(transport: FlowTransport, made: Tensor, data: Tensor) -> Figures:
    """Return both sides of W2(data, made) <= error of the reconstructions + L W2 of the latents."""
    path = transport.field.path
    assert isinstance(path, Latent) and isinstance(path.codec, PrincipalComponents)
    z, made_z = (path.codec.encode(x) for x in (data, made))
    error = root_mean_square(path.codec.decode(z), data)
    latents = path.codec.scale * float(wasserstein2(z, made_z))
    return {
        "W2": float(wasserstein2(data, made)), "W2 bound": error + latents,
        "reconstruction error": error, "W2 of latents": latents,
    }  # fmt: skip
