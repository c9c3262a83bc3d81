"""Frozen networks as codecs: an autoencoder that was trained here, and what any other needs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition
from pushforward.configuration import Recorded
from pushforward.networks import Autoencoder
from pushforward.paths.codec import UncertainCodec

__all__ = ["FrozenCodec", "VariationalCodec"]

ROWS_AT_ONCE = 512


class FrozenCodec(nn.Module, UncertainCodec):
    """A codec that is a network: its parameters are not trained, and it stays in evaluation mode."""

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        """Hold the shape of the points that it decodes to."""
        super().__init__()
        self.event_shape = tuple(event_shape)

    @property
    def decoded_shape(self) -> tuple[int, ...]:
        """Shape of the points."""
        return self.event_shape

    def frozen(self) -> FrozenCodec:
        """Return this codec, frozen."""
        return self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenCodec:
        """Stay in evaluation mode."""
        return super().train(False)

    def fitted(self, points: Tensor) -> FrozenCodec:
        """Return this codec, which is trained already."""
        return self


class VariationalCodec(Recorded, FrozenCodec):
    """The codec of a trained `Autoencoder`: `z = posterior((x - shift) / scale) / size`, decoded by its inverse.

    `size` is the deviation of draws from the posterior over the data, so that latents are of unit size.
    """

    shift: Tensor
    scale: Tensor
    size: Tensor

    def __init__(self, network: Autoencoder, event_shape: tuple[int, ...]) -> None:
        """Hold an untrained autoencoder of points of shape `event_shape`; its weights are loaded."""
        super().__init__(event_shape)
        self.network, self.autoencoder = network, network.build(self.event_shape, {})
        self.register_buffer("shift", torch.zeros(self.event_shape))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("size", torch.ones(()))
        self.frozen()

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a latent."""
        return self.network.latent_shape(event_shape)

    @torch.no_grad()
    def calibrated(self, points: Tensor) -> VariationalCodec:
        """Set `size` to the deviation over `points: (n, *event)`, and return this codec."""
        self.size.fill_(1.0)
        mean, deviation = torch.cat([self.summary(x) for x in points.split(ROWS_AT_ONCE)]).chunk(2, 1)
        self.size.copy_((mean.var(correction=0) + deviation.square().mean()).sqrt())
        return self

    def summary(self, x: Tensor) -> Tensor:
        """`(B, *event) -> (B, 2 channels, h, w)`: means and deviations."""
        mean, log_variance = self.autoencoder.posterior((x.to(self.scale) - self.shift) / self.scale)
        return torch.cat([mean, (log_variance / 2).exp()], 1) / self.size

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *latent) -> (B, *event)`."""
        return self.autoencoder.decode(state * self.size) * self.scale + self.shift
