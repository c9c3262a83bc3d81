"""Flows in the latent space of a frozen autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Sides, Times
from pushforward.ends import Chained, End
from pushforward.errors import InputError
from pushforward.paths.affine import Affine
from pushforward.paths.codec import Codec, Forgetful, PrincipalComponents

__all__ = ["Latent"]

FITTED_ON = 20_000


@dataclass(frozen=True)
class Latent(Path):
    """Join the first numbers of the source point, as many as a latent has, and the latent of the target point by an
    affine `path`: `x_t = alpha_t encode(x1) + sigma_t leading(x0)`.

    The states of the flow, and what its network sees and predicts, are latents; sources and targets keep the shape of
    the data. Of a N(0, I) source the leading numbers are N(0, I) themselves, so that scores keep their meaning, in the
    latent space. `push` decodes where the flow ends, `pull` fills up with zeros. The `codec` is fitted to the target
    before training, in the units of the network, and frozen.

    For a decoder with Lipschitz constant L the distance to the data is that of the reconstructions and that of the
    latents: `W2(data, model) <= rms |x - decode(encode(x))| + L W2(encode(data), latents of the model)`.

    Raises `InputError` for a mask of known entries, which latents do not have.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "dao2023flow",
            "Flow Matching in Latent Space",
            "Dao, Quan and Phung, Hao and Nguyen, Binh and Tran, Anh",
            2023,
            arxiv="2307.08698",
        ),
    )
    codec: Codec = field(default_factory=PrincipalComponents)
    path: Affine = field(default_factory=Affine)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this path with its codec fitted to points of the target."""
        points = sides.target(FITTED_ON, generator=generator)[0] if sides.data is None else sides.data[0]
        return replace(self, codec=self.codec.fitted(points))

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity is finite."""
        return self.path.interval

    @property
    def source_end(self) -> End:
        """The leading numbers of a source point, then what the path makes of them."""
        return Chained(_Leading(self.codec), self.path.source_end)

    @property
    def target_end(self) -> End:
        """The latent of a target point, then what the path makes of it."""
        return Chained(self.codec, self.path.target_end)

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network as the affine path wraps it."""
        return self.path.wrapped(network, event_shape, schema, predicts)

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the latent state of each pair and its velocity; the ends of the point are latents too."""
        return self.path.point(self._latents(pairs), times, generator=generator)

    def reflected(self, point: PathPoint, pairs: Pairs, times: Times) -> PathPoint:
        """Return the same point with the source negated."""
        return self.path.reflected(point, self._latents(pairs), times)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return what is regressed on, in the latent space."""
        return self.path.target(point, kind, gaussian_source=gaussian_source)

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn one prediction into another, in the latent space."""
        return self.path.convert(value, x, t, src, dst, gaussian_source=gaussian_source)

    def derive(
        self, known: Mapping[Prediction, Tensor], x: Tensor, t: Tensor, dst: Prediction, *, gaussian_source: bool
    ) -> Tensor:
        """Turn several predictions into another, in the latent space."""
        return self.path.derive(known, x, t, dst, gaussian_source=gaussian_source)

    def _latents(self, pairs: Pairs) -> Pairs:
        if pairs.mask is not None:
            raise InputError("a latent has no known entries: use a coupling without a mask, or a path of the data")
        with torch.no_grad():  # frozen
            return replace(pairs, x0=_Leading(self.codec).encode(pairs.x0), x1=self.codec.encode(pairs.x1))


@dataclass(frozen=True)
class _Leading(Forgetful):
    """The first numbers of a point, in the shape of a latent; on the way back the others are zero."""

    codec: Codec

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return that of a latent."""
        return self.codec.shape(event_shape)

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `(B, *latent)`."""
        shape = self.shape(tuple(x.shape[1:]))
        return x.flatten(1)[:, : torch.Size(shape).numel()].reshape(-1, *shape)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `(B, *event)`."""
        shape, flat = self.codec.decoded_shape, state.flatten(1)
        whole = flat.new_zeros(len(flat), torch.Size(shape).numel())
        whole[:, : flat.shape[1]] = flat
        return whole.reshape(-1, *shape)
