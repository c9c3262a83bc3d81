"""A small convolutional autoencoder with a Gaussian posterior, to be trained here and frozen as a codec."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture

__all__ = ["Autoencoder", "AutoencoderModule", "Posterior"]

NARROWEST, WIDEST = -20.0, 10.0
"""Logarithms of the least and the largest variance of a latent."""


class Posterior(NamedTuple):
    """The latents of points: independent Gaussians of these means and log-variances, `(B, *latent)` each."""

    mean: Tensor
    log_variance: Tensor

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw a latent for each point, differentiable in mean and variance."""
        noise = torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype, device=self.mean.device)
        return torch.addcmul(self.mean, (self.log_variance / 2).exp(), noise)

    def divergence(self) -> Tensor:
        """Return `KL(N(mean, variance) | N(0, I))` of each point in nats: `(B,)`."""
        entries = self.mean.square() + self.log_variance.exp() - 1 - self.log_variance
        return entries.flatten(1).sum(1) / 2


@dataclass(frozen=True)
class Autoencoder(Architecture):
    """Variational autoencoder of images `(C, H, W)`: latents `(channels, H / 2^halvings, W / 2^halvings)`.

    Encoder and decoder have `width` channels, with `blocks` residual blocks at every resolution but the full one, where
    they would cost most. As a network of a field
    it predicts the data from the data, `decode(mean(x))`, whatever the time: train it by `VariationalReconstruction`,
    and use it as a codec of `Latent`.

    >>> net = Autoencoder(channels=2, width=8).build((1, 8, 8), {})
    >>> net.posterior(torch.zeros(5, 1, 8, 8)).mean.shape
    torch.Size([5, 2, 4, 4])
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "kingma2014autoencoding", "Auto-Encoding Variational Bayes", "Kingma, Diederik P. and Welling, Max", 2014,
            arxiv="1312.6114",
        ),
        Reference(
            "rombach2022high",
            "High-Resolution Image Synthesis with Latent Diffusion Models",
            "Rombach, Robin and Blattmann, Andreas and Lorenz, Dominik and Esser, Patrick and Ommer, Björn",
            2022,
            arxiv="2112.10752",
        ),
    )  # fmt: skip
    channels: int = 4
    width: int = 32
    halvings: int = 1
    blocks: int = 1

    def __post_init__(self) -> None:
        if min(self.channels, self.width, self.blocks, self.halvings) < 1:
            raise InputError(f"Autoencoder needs positive sizes, got {self}")

    def latent_shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a latent. Raises `InputError` for points that are no images, whose sides cannot be
        halved so often, or that have fewer numbers.
        """
        factor = 2**self.halvings
        if len(event_shape) != 3 or event_shape[1] % factor or event_shape[2] % factor:
            raise InputError(f"Autoencoder takes images with sides that {factor} divides, got {tuple(event_shape)}")
        shape = (self.channels, event_shape[1] // factor, event_shape[2] // factor)
        if math.prod(shape) > math.prod(event_shape):
            raise InputError(f"latents of shape {shape} are larger than points of shape {tuple(event_shape)}")
        return shape

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> AutoencoderModule:
        """Return the network; conditions are ignored. Raises `InputError` for more than one head."""
        if heads != 1:
            raise InputError(f"Autoencoder predicts the data alone, not {heads} kinds")
        self.latent_shape(event_shape)
        return AutoencoderModule(self, event_shape[0])


class AutoencoderModule(nn.Module):
    """Encoder and decoder of an `Autoencoder`."""

    def __init__(self, spec: Autoencoder, image_channels: int) -> None:
        super().__init__()
        self.spec = spec
        width = spec.width
        down: list[nn.Module] = [nn.Conv2d(image_channels, width, 3, padding=1)]
        up: list[nn.Module] = [nn.Conv2d(spec.channels, width, 3, padding=1)]
        for _ in range(spec.halvings):
            down += [nn.Conv2d(width, width, 3, stride=2, padding=1), *_blocks(spec)]
            up += [*_blocks(spec), nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width, 3, padding=1)]
        self.encoder = nn.Sequential(*down, _norm(width), nn.SiLU(), nn.Conv2d(width, 2 * spec.channels, 3, padding=1))
        self.decoder = nn.Sequential(*up, _norm(width), nn.SiLU(), nn.Conv2d(width, image_channels, 3, padding=1))

    def posterior(self, x: Tensor) -> Posterior:
        """Return the law of the latents of images `(B, C, H, W)`."""
        mean, log_variance = self.encoder(x).chunk(2, 1)
        return Posterior(mean, log_variance.clamp(NARROWEST, WIDEST))

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of latents."""
        return self.decoder(z)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the reconstructions of `x`."""
        return self.decode(self.posterior(x).mean)


def _blocks(spec: Autoencoder) -> list[nn.Module]:
    return [_Block(spec.width) for _ in range(spec.blocks)]


class _Block(nn.Module):
    """`x + conv(silu(norm(conv(silu(norm(x))))))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = _norm(width), nn.Conv2d(width, width, 3, padding=1)
        self.norm2, self.conv2 = _norm(width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels, 8), channels)
