"""The loss of a variational autoencoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Autoencoder, AutoencoderModule, Field
from pushforward.objectives.objective import Objective

__all__ = ["VariationalReconstruction"]


@dataclass(frozen=True)
class VariationalReconstruction(Objective):
    """`(E |x1 - decode(z)|^2 + kl KL(q(z | x1) | N(0, I))) / d` with z drawn from the posterior q of an `Autoencoder`.

    Up to factors the bound on the likelihood of a decoder with noise of variance `kl / 2` per number of the d of a
    point: a small weight keeps what is decoded sharp, and still holds the latents together. The source of the pairs is
    not used. Raises `InputError` for any other network.
    """

    references: ClassVar[tuple[Reference, ...]] = Autoencoder.references
    kl: float = 0.02

    def __post_init__(self) -> None:
        if not 0 <= self.kl < math.inf:
            raise InputError(f"VariationalReconstruction needs a weight kl of at least 0, got {self.kl}")

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; its terms are `reconstruction`, the error per number, and `divergence` in nats."""
        network = field.network
        if not isinstance(network, AutoencoderModule) or field.predicts != ("data",):
            raise InputError(
                "VariationalReconstruction trains an autoencoder: fit with --network Autoencoder --predicts data"
            )
        posterior = network.posterior(pairs.x1)
        error = (network.decode(posterior.sample(generator)) - pairs.x1).square().flatten(1)
        divergence = posterior.divergence()
        per_sample = error.mean(1) + self.kl * divergence / error.shape[1]
        total = pairs.mean(per_sample)
        terms = {"reconstruction": error.detach().mean(), "divergence": divergence.detach().mean()}
        return Loss(total, terms, per_sample.detach())
