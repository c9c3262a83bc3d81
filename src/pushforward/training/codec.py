"""Training an autoencoder, and using it as a codec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pushforward.errors import InputError
from pushforward.maps import FlowTransport, load
from pushforward.measures import as_measure
from pushforward.networks import Autoencoder, AutoencoderModule
from pushforward.objectives import VariationalReconstruction
from pushforward.paths import CodecToLoad, VariationalCodec
from pushforward.randomness import seeded
from pushforward.training.fit import fit
from pushforward.training.trainer import Trainer

__all__ = ["TrainedCodec", "fit_codec"]

CALIBRATED_ON = 4096


def fit_codec(
    target: Any,
    network: Autoencoder | None = None,
    *,
    kl: float = 0.02,
    trainer: Trainer | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> VariationalCodec:
    """Train a variational autoencoder of the points of `target` and return it frozen, as a codec of `Latent`.

    The loss is that of `VariationalReconstruction(kl)`; the other arguments are those of `fit`, of which this is a
    case: `out` holds the run, which `TrainedCodec(out)` reads again.
    """
    transport = fit(
        "gaussian", target, network=network or Autoencoder(), objective=VariationalReconstruction(kl), predicts="data",
        trainer=trainer, seed=seed, out=out, resume=resume, overwrite=overwrite, show_progress=show_progress,
    )  # fmt: skip
    return _codec(transport).calibrated(as_measure(target).sample(CALIBRATED_ON, generator=seeded(seed, "codec")))


@dataclass(frozen=True)
class TrainedCodec(CodecToLoad):
    """The autoencoder of a run: of `fit_codec`, or of `pushforward fit` with `--network Autoencoder`.

    `run` is its directory. The flow keeps the weights, and needs the run no more. Raises `InputError` where it holds no
    autoencoder, or one of points of another shape.
    """

    run: str

    def fitted(self, points: Tensor) -> VariationalCodec:
        """Load the autoencoder and bring its latents of `points: (n, C, H, W)` to unit size."""
        transport = load(self.run)
        if not isinstance(transport, FlowTransport) or not isinstance(transport.field.network, AutoencoderModule):
            raise InputError(f"{self.run} holds no autoencoder: make one by fit with --network Autoencoder")
        if tuple(transport.event_shape) != tuple(points.shape[1:]):
            shapes = f"{tuple(transport.event_shape)}, the target has {tuple(points.shape[1:])}"
            raise InputError(f"the autoencoder in {self.run} is one of points of shape {shapes}")
        return _codec(transport).calibrated(points)


def _codec(transport: FlowTransport) -> VariationalCodec:
    """Return the network of a transport as a codec, in the units of that transport's data."""
    network, frame = transport.field.network, transport.target_frame
    assert isinstance(network, AutoencoderModule)
    codec = VariationalCodec(network.spec, transport.event_shape)
    codec.autoencoder.load_state_dict(network.state_dict())
    codec.shift.copy_(frame.shift)
    codec.scale.copy_(frame.scale)
    return codec
