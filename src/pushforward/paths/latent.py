"""Flows in the latent space of a frozen autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Pairs, PathPoint, Sides, Times
from pushforward.errors import InputError, nearest
from pushforward.observations import point_column
from pushforward.paths.affine import Affine
from pushforward.paths.codec import Codec, Forgetful, PrincipalComponents
from pushforward.paths.within import Within
from pushforward.spaces import Space

__all__ = ["Latent"]

FITTED_ON = 20_000


class Latent(Recorded, nn.Module, Within):
    """Join noise and the latents of the target by an affine `path`: `x_t = alpha_t encode(x1) + sigma_t x0`.

    Pairs, states, and what the network sees and predicts are latents; sources and targets keep the shape of the data.
    Of a source point its first numbers are taken, as many as a latent has: of N(0, I) these are N(0, I) themselves, so
    that scores keep their meaning, in the latent space. `push` decodes where the flow ends, `pull` fills up with zeros.
    The `codec` is made ready before training, in the units of the data, and is frozen; the summary that it draws
    latents from is computed once for a data set.

    Conditions of the shape of a point (a masked image) that are named in `encoded` are shown to the network as latents,
    in the units of those; maps with a number or more for each pixel (a mask, classes) that are named in `resized` are
    brought to the size of a latent by nearest neighbours, and left alone where latents are vectors. `Concatenated`
    appends both to the state.

    For a decoder with Lipschitz constant L the distance to the data is that of the reconstructions and that of the
    latents: `W2(data, model) <= rms |x - decode(encode(x))| + L W2(encode(data), latents of the model)`.
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

    def __init__(
        self,
        codec: Codec | None = None,
        path: Affine | None = None,
        encoded: tuple[str, ...] = (),
        resized: tuple[str, ...] = (),
    ) -> None:
        """Hold the codec (by default `PrincipalComponents()`) and the path between latents (by default `Affine()`)."""
        super().__init__()
        self.codec, self.path = codec or PrincipalComponents(), path or Affine()
        self.encoded, self.resized = tuple(encoded), tuple(resized)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Latent:
        """Return this path with its codec fitted to points of the target."""
        points = sides.target(FITTED_ON, generator=generator)[0] if sides.data is None else sides.data[0]
        return Latent(self.codec.fitted(points), self.path, self.encoded, self.resized)

    @property
    def space(self) -> Space:
        """The space of the latents."""
        return _Latents(
            source=_Leading(self.codec), target=self.codec, codec=self.codec, encoded=self.encoded, resized=self.resized
        )

    def told(self, schema: Schema) -> Schema:
        """Return the conditions with those that are `encoded` or `resized` as the network sees them. Raises
        `InputError` where there is no such condition, or it is no map.
        """
        data, latent = self.codec.decoded_shape, self.codec.shape(self.codec.decoded_shape)
        seen = {name: point_column(latent) for name in self.encoded}
        seen |= {name: _resized_column(name, schema, data, latent) for name in self.resized}
        for name in self.encoded:
            if name not in schema or schema[name].width != math.prod(data):
                raise InputError(f"no condition {name!r} holds points of shape {data}{nearest(name, schema)}")
        return schema | seen

    def reflected(self, point: PathPoint, pairs: Pairs, times: Times) -> PathPoint:
        """Return the same point with the source negated."""
        return self.path.reflected(point, pairs, times)


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


@dataclass(frozen=True, kw_only=True)
class _Latents(Space):
    """The space of the latents of a codec: noise loses its last numbers, conditions that are maps become smaller."""

    codec: Codec
    encoded: tuple[str, ...]
    resized: tuple[str, ...]

    def condition(self, condition: Condition | None, normalise: Callable[[Tensor], Tensor]) -> Condition | None:
        """Return the condition with its maps in the latent space."""
        if condition is None:
            return None
        data = self.codec.decoded_shape
        points = {name: normalise(condition[name].reshape(-1, *data)) for name in self.encoded}
        seen = {name: self.codec.encode(x).flatten(1) for name, x in points.items()}
        return condition | seen | {name: self._resized(condition[name]) for name in self.resized}

    def _resized(self, column: Tensor) -> Tensor:
        data = self.codec.decoded_shape
        size = self.codec.shape(data)[1:]
        maps = column.reshape(len(column), -1, *data[1:])
        return (F.interpolate(maps, size=size, mode="nearest") if size else maps).flatten(1)


def _resized_column(name: str, schema: Schema, data: tuple[int, ...], latent: tuple[int, ...]) -> Column:
    """Return the column of a map with one number or more for each place of the data, brought to those of a latent."""
    places = math.prod(data[1:]) if len(latent) > 1 else 1
    column = schema.get(name)
    if column is None or column.categories is not None or column.width % places:
        raise InputError(f"no condition {name!r} is a map of {places} places{nearest(name, schema)}")
    return Column(None, column.width // places * math.prod(latent[1:]), column.shift, column.scale)
