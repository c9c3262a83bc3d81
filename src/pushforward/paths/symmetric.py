"""Points forwards and labels backwards in one flow."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.contracts import Pairs, PathPoint, Times
from pushforward.ends import Chained, End
from pushforward.errors import InputError, nearest
from pushforward.measures.label_codecs import LabelCodec, default_codec
from pushforward.paths.affine import Affine
from pushforward.paths.codec import Forgetful
from pushforward.paths.within import WithoutScores

__all__ = ["Symmetric"]


@dataclass(frozen=True)
class Symmetric(WithoutScores):
    """Join points and their labels to noise in opposite directions: `x_t = alpha_t x1 + sigma_t x0` runs from noise to
    the point, `y_t = alpha_t xi + sigma_t y` from the label y, the conditions as channels, to noise xi ~ N(0, I).

    The state is both, joined along the channels; the network sees it and is told no label. Started from noise and a
    label the flow makes a point. Started at t = 1 from a point and label noise, and run backwards, it reads the label
    off the point (`FlowTransport.label`), in one step already: at t = 1 the noise says nothing, so that `xi - v_y =
    E[y | x]`, for one-hot channels the posterior probabilities. For the objective that weighs both blocks see
    `objectives.SymmetricMatching`.

    `codecs` says by the name of a condition how it becomes channels; categories are one-hot and covariates planes
    unless told. Conditions that have a default are told to the network as ever. Noise of the labels is drawn at every
    point of the path. There is no density and no `pull`. Raises `InputError` where there is no condition, for a mask of
    known entries, and for scores: the source, part of it a label, is not N(0, I).
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "caetano2025symmetrical",
            "Symmetrical Flow Matching: Unified Image Generation, Segmentation, and Classification with Score-Based "
            "Generative Models",
            "Caetano, Francisco and Viviers, Christiaan and De With, Peter H. N. and van der Sommen, Fons",
            2025,
            arxiv="2506.10634",
            venue="AAAI Conference on Artificial Intelligence",
        ),
    )
    codecs: dict[str, LabelCodec] = field(default_factory=dict)
    path: Affine = field(default_factory=Affine)
    blocks: tuple[LabelBlock, ...] = field(init=False, default=(), repr=False, compare=False)

    def told(self, schema: Schema) -> Schema:
        """Return the conditions that have a default, which are no labels."""
        return {name: column for name, column in schema.items() if column.default is not None}

    def built(self, event_shape: tuple[int, ...], schema: Schema) -> Symmetric:
        """Return this path for the labels of a schema. Raises `InputError` where there are none, and for codecs of
        labels that there are not.
        """
        labels = {name: column for name, column in schema.items() if column.default is None}
        for name in self.codecs:
            if name not in labels:
                raise InputError(f"Symmetric: no condition {name!r}{nearest(name, labels)}")
        if not labels:
            raise InputError("Symmetric carries labels from the target to noise, but there is no condition")
        ready, rest = copy(self), event_shape[1:]
        blocks = []
        for name, column in labels.items():
            codec = self.codecs.get(name, default_codec(column))
            blocks.append(LabelBlock(name, column, codec, codec.channels(column, rest)))
        object.__setattr__(ready, "blocks", tuple(blocks))
        return ready

    @property
    def channels(self) -> int:
        """How many of the state's channels, its last, are labels."""
        return sum(block.channels for block in self.blocks)

    @property
    def source_end(self) -> End:
        """Noise and its label, then what the affine path makes of them."""
        return Chained(_Labelled(self), self.path.source_end)

    @property
    def target_end(self) -> End:
        """A point beside label noise, which points do not bring along: states are made into points only."""
        return Chained(_Noised(self.channels), self.path.target_end)

    def labels(self, condition: Condition | None, x: Tensor) -> list[Tensor]:
        """Return the channels of each label, `(B, channels, *rest)`, for the points `x: (B, C, *rest)`. Raises
        `InputError` where a label is missing.
        """
        given, found = condition or {}, []
        for block in self.blocks:
            if block.name not in given:
                raise InputError(f"the flow starts from the condition {block.name!r}: give it")
            found.append(block.codec.encode(given[block.name], block.column, tuple(x.shape[2:])).to(x))
        return found

    def with_noise(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return points `x: (B, C, *rest)` beside fresh label noise, states at t = 1: `(B, C + channels, *rest)`."""
        return self.path.target_end.encode(self._noised(x, generator))

    def _noised(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        shape = (len(x), self.channels, *x.shape[2:])
        return torch.cat([x, torch.randn(shape, generator=generator, device=x.device, dtype=x.dtype)], 1)

    def read(self, state: Tensor) -> dict[str, Tensor]:
        """Return the label channels of states at t = 0 by name, each `(B, channels, *rest)`."""
        joint = self.path.source_end.decode(state)
        parts = joint[:, -self.channels :].split([block.channels for block in self.blocks], 1)
        return {block.name: part for block, part in zip(self.blocks, parts, strict=True)}

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the joint state of each pair and its velocity; the ends of the point are joint too."""
        if pairs.mask is not None:
            raise InputError("Symmetric has no known entries: use a coupling without a mask")
        encoded = zip(self.blocks, self.labels(pairs.condition, pairs.x1), strict=True)
        labels = [block.codec.dither(part, block.column, generator=generator) for block, part in encoded]
        joint = replace(pairs, x0=torch.cat([pairs.x0, *labels], 1), x1=self._noised(pairs.x1, generator))
        return self.path.point(joint, times, generator=generator)


@dataclass(frozen=True)
class LabelBlock:
    """One label of a joint state: its condition, and how it becomes channels."""

    name: str
    column: Column
    codec: LabelCodec
    channels: int


@dataclass(frozen=True)
class _Noised(Forgetful):
    """A point beside label noise."""

    channels: int

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return that of the joint state."""
        return (event_shape[0] + self.channels, *event_shape[1:])

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`: a point does not determine the state."""
        raise InputError("a symmetric flow brings no point back to noise: read its label instead")

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the point."""
        return state[:, : -self.channels]


@dataclass(frozen=True)
class _Labelled(Forgetful):
    """A source point beside its label."""

    path: Symmetric

    def shape(self, event_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return that of the joint state."""
        return (event_shape[0] + self.path.channels, *event_shape[1:])

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return source points `(B, C, *rest)` with the channels of their labels after their own."""
        return torch.cat([x, *self.path.labels(condition, x)], 1)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the source point."""
        return state[:, : -self.path.channels]
