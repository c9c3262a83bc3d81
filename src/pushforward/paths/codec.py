"""Codecs: frozen autoencoders, in whose latent space a flow can live."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.ends import End
from pushforward.errors import InputError

__all__ = ["Codec", "CodecToLoad", "Forgetful", "PrincipalComponents", "UncertainCodec"]


class Forgetful(End):
    """An end whose states have fewer numbers than its points: `decode` inverts `encode` on what it makes only."""

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`: the map forgets."""
        raise InputError("no density: a flow in a latent space reaches only what its decoder makes")


class Codec(Forgetful):
    """A frozen autoencoder, whose latents are of unit size and have no more numbers than its points.

    What a flow is trained on is `draw(summary(x))`: the summary of a data set is computed once and kept.
    """

    @property
    def is_random(self) -> bool:
        """Whether a point has a distribution of latents, from which training draws anew each time."""
        return False

    @abstractmethod
    def fitted(self, points: Tensor) -> Codec:
        """Return the codec for data like `points: (n, *event)`, in their units; one that is fitted stays as it is."""

    @abstractmethod
    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the latent of a point of `event_shape`. Raises `InputError` where it has none."""

    @property
    @abstractmethod
    def decoded_shape(self) -> tuple[int, ...]:
        """Shape of the points that it decodes to."""

    def summary(self, x: Tensor) -> Tensor:
        """Return what is kept of points `x: (B, *event)` to draw their latents from: the latents themselves."""
        return self.encode(x)

    def draw(self, summary: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return a latent for each row of a summary: `(B, *latent)`."""
        return summary


class UncertainCodec(Codec):
    """A codec that finds mean and deviation of every number of a latent; a summary holds one after the other along the
    first axis of a latent.

    `encode` is the mean; training draws `mean + deviation noise`.
    """

    @property
    def is_random(self) -> bool:
        """Yes."""
        return True

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the mean: `(B, *event) -> (B, *latent)`."""
        return self.summary(x).chunk(2, 1)[0]

    def draw(self, summary: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return `mean + deviation noise`."""
        mean, deviation = summary.chunk(2, 1)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return torch.addcmul(mean, deviation, noise)


class CodecToLoad(Codec):
    """Where a codec is kept: `fitted` returns the codec itself, and everything else waits for that."""

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Raise `InputError`."""
        raise self._unloaded()

    @property
    def decoded_shape(self) -> tuple[int, ...]:
        """Raise `InputError`."""
        raise self._unloaded()

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`."""
        raise self._unloaded()

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`."""
        raise self._unloaded()

    def _unloaded(self) -> InputError:
        return InputError(f"{type(self).__name__} is not loaded yet: fit does it, or call fitted(points)")


@dataclass(frozen=True)
class PrincipalComponents(Codec):
    """The linear autoencoder of `components` numbers with the least error: `z = (x - mean) B / scale`.

    The columns of B are the leading eigenvectors of the covariance, and `scale` brings the latents to a mean variance
    of one. B is orthonormal, so that the decoder `mean + scale z B^T` has the Lipschitz constant `scale`, exactly; the
    mean squared error is the sum of the eigenvalues left out. `mean: (*event)`, `basis: (d, components)` and `scale`
    are filled in by `fitted`.
    """

    components: int = 16
    mean: Tensor | None = None
    basis: Tensor | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.components < 1 or not self.scale > 0:
            raise InputError(f"PrincipalComponents needs at least one component and a positive scale, got {self}")

    def fitted(self, points: Tensor) -> Self:
        """Return the codec of `points: (n, *event)`; one that is fitted already stays as it is."""
        if self.basis is not None:
            return self
        self.shape(tuple(points.shape[1:]))
        mean = points.double().mean(0)
        flat = (points.double() - mean).flatten(1)
        values, vectors = torch.linalg.eigh(flat.T @ flat / len(flat))
        basis, scale = vectors[:, -self.components :].flip(1), values[-self.components :].mean().sqrt()
        return replace(self, mean=mean.float(), basis=basis.float(), scale=float(scale))

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return `(components,)`. Raises `InputError` where points have fewer numbers."""
        size = torch.Size(event_shape).numel()
        if self.components > size:
            raise InputError(f"PrincipalComponents keeps {self.components} numbers, but a point has only {size}")
        return (self.components,)

    @property
    def decoded_shape(self) -> tuple[int, ...]:
        """Shape of the points."""
        return tuple(self._parts()[0].shape)

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *event) -> (B, components)`."""
        mean, basis = self._parts()
        return (x - mean.to(x)).flatten(1) @ basis.to(x) / self.scale

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, components) -> (B, *event)`."""
        mean, basis = self._parts()
        return mean.to(state) + (self.scale * state @ basis.T.to(state)).reshape(-1, *mean.shape)

    def _parts(self) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.basis is None:
            raise InputError("PrincipalComponents is not fitted yet: fit does it, or call fitted(points)")
        return self.mean, self.basis
