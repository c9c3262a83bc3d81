"""The pretrained autoencoders of latent diffusion models, from the diffusers library, as codecs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.configuration import Recorded
from pushforward.errors import InputError, optional_import
from pushforward.paths.codec import CodecToLoad
from pushforward.paths.variational import FrozenCodec

__all__ = ["AutoencoderKLCodec", "PretrainedAutoencoderKL"]


@dataclass(frozen=True)
class PretrainedAutoencoderKL(CodecToLoad):
    """A pretrained `AutoencoderKL` of diffusers, for images with values in [-1, 1].

    `name` is a repository of the Hugging Face hub or a folder, such as `stabilityai/sd-vae-ft-mse`; `subfolder` is
    where the autoencoder lies in it, "vae" for whole pipelines. The flow keeps its weights. Raises `MissingExtra`
    without diffusers, and `InputError` where there is no such autoencoder.
    """

    name: str
    subfolder: str | None = None

    def fitted(self, points: Tensor) -> AutoencoderKLCodec:
        """Load the autoencoder for images like `points: (n, C, H, W)`."""
        model = _diffusers().AutoencoderKL
        try:
            loaded = model.from_pretrained(self.name, subfolder=self.subfolder)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self.name!r} holds no AutoencoderKL that can be loaded: {reason}") from error
        codec = AutoencoderKLCodec(_plain(loaded.config), tuple(points.shape[1:]))
        codec.autoencoder.load_state_dict(loaded.state_dict())
        return codec


class AutoencoderKLCodec(Recorded, FrozenCodec):
    """The codec of a diffusers `AutoencoderKL`: `z = (posterior(x) - shift_factor) scaling_factor`, the factors those
    of its configuration, which bring latents to unit size (0.18215 for Stable Diffusion 1).

    Raises `MissingExtra` without diffusers, and `InputError` for points that are not its images.
    """

    def __init__(self, config: dict[str, Any], event_shape: tuple[int, ...]) -> None:
        """Hold an autoencoder of this configuration, its weights drawn at random until they are loaded."""
        super().__init__(event_shape)
        self.autoencoder = _diffusers().AutoencoderKL.from_config(config)
        self.channels, self.levels = config["latent_channels"], len(config["block_out_channels"])
        self.factor, self.centre = config.get("scaling_factor") or 1.0, config.get("shift_factor") or 0.0
        wanted = config["in_channels"]
        if len(event_shape) != 3 or event_shape[0] != wanted:
            raise InputError(f"this autoencoder takes images of {wanted} channels, got points {tuple(event_shape)}")
        self.shape(self.event_shape)
        self.frozen()

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of a latent. Raises `InputError` for sides that cannot be halved so often, and for latents
        that are larger than points.
        """
        factor = 2 ** (self.levels - 1)
        shape = (self.channels, *(side // factor for side in event_shape[1:]))
        if any(side % factor for side in event_shape[1:]) or math.prod(shape) > math.prod(event_shape):
            raise InputError(f"this autoencoder needs sides that {factor} divides, got points {tuple(event_shape)}")
        return shape

    def summary(self, x: Tensor) -> Tensor:
        """`(B, C, H, W) -> (B, 2 channels, h, w)`: means and deviations."""
        posterior = self.autoencoder.encode(x.to(self.autoencoder.device, self.autoencoder.dtype)).latent_dist
        return torch.cat([(posterior.mean - self.centre) * self.factor, posterior.std * self.factor], 1)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *latent) -> (B, C, H, W)`."""
        return self.autoencoder.decode(state / self.factor + self.centre).sample


def _diffusers() -> Any:
    return optional_import("diffusers", "diffusers", "a pretrained AutoencoderKL")


def _plain(config: Any) -> dict[str, Any]:
    """Return what of a configuration can be written as JSON, but for the names that start with an underscore."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in config.items() if not name.startswith("_")}
