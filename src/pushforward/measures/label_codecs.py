"""Labels as channels: how a condition becomes part of a state that a flow moves, and is read off one again."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.conditions import Column, absent
from pushforward.errors import InputError

__all__ = ["LabelCodec", "OneHot", "OneHotMask", "Ordinal", "Planes", "default_codec"]


class LabelCodec(ABC):
    """A condition as `channels` of an array whose further axes are `rest`: those of an image, none for a vector.

    `encode` makes the channels of known values, `expected` says what an average of channels means, and `decode` settles
    on a value. Rows whose value is absent are encoded as the middle of what the codec can say.
    """

    @abstractmethod
    def channels(self, column: Column, rest: tuple[int, ...]) -> int:
        """Return how many channels there are. Raises `InputError` for a condition of another sort."""

    @abstractmethod
    def encode(self, values: Tensor, column: Column, rest: tuple[int, ...]) -> Tensor:
        """Return `(B, channels, *rest)` for codes `(B,)` or covariates `(B, width)`, in floating point."""

    def dither(self, encoded: Tensor, column: Column, *, generator: torch.Generator | None = None) -> Tensor:
        """Return training's channels: with noise over the gaps between values, where a codec has gaps to fill."""
        return encoded

    @abstractmethod
    def expected(self, encoded: Tensor, column: Column) -> Tensor:
        """Return what channels `(B, channels, *rest)` say of each row: probabilities `(B, K)`, or values."""

    @abstractmethod
    def decode(self, expected: Tensor, column: Column) -> Tensor:
        """Return codes `(B,)` or covariates `(B, width)`, the most likely ones."""


def default_codec(column: Column) -> LabelCodec:
    """Return one-hot channels for categories, planes for covariates."""
    return Planes() if column.categories is None else OneHot()


@dataclass(frozen=True)
class OneHot(LabelCodec):
    """A category as one channel for each of its K values, constant: 1 for the value it has, -1 for the others.

    The mean of such channels over what is possible are the probabilities, so that being unsure between two values never
    looks like a third.
    """

    def channels(self, column: Column, rest: tuple[int, ...]) -> int:
        """Return K. Raises `InputError` for a covariate."""
        return _count(type(self).__name__, column)

    def encode(self, values: Tensor, column: Column, rest: tuple[int, ...]) -> Tensor:
        """Return channels of 1 and -1, of `2 / K - 1` where there is no value."""
        count = _count(type(self).__name__, column)
        hot = F.one_hot(values.clamp(min=0), count).to(torch.get_default_dtype())
        hot = torch.where(absent(values)[:, None], 1 / count, hot)
        return _constant(2 * hot - 1, rest)

    def expected(self, encoded: Tensor, column: Column) -> Tensor:
        """Return the probability of each value, `(B, K)`: the means of the channels, held inside the simplex."""
        return _simplex(encoded.flatten(2).mean(2) if encoded.ndim > 2 else encoded)

    def decode(self, expected: Tensor, column: Column) -> Tensor:
        """Return the most probable code."""
        return expected.argmax(1)


@dataclass(frozen=True)
class Ordinal(LabelCodec):
    """An ordered category k of K as one constant channel, `(spread / 2) (2 k / (K - 1) - 1)`, dithered over half of the
    gap to the next.

    For grades and counts. Where categories have no order, being unsure between the first and the third reads as the
    second: use `OneHot`.
    """

    spread: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < self.spread < math.inf:
            raise InputError(f"Ordinal needs a positive spread, got {self.spread}")

    def channels(self, column: Column, rest: tuple[int, ...]) -> int:
        """Return 1. Raises `InputError` for a covariate and for a single category."""
        if _count(type(self).__name__, column) < 2:
            raise InputError("Ordinal needs at least two categories")
        return 1

    def encode(self, values: Tensor, column: Column, rest: tuple[int, ...]) -> Tensor:
        """Return the channel, 0 where there is no value."""
        level = values.to(torch.get_default_dtype())[:, None] / (_count(type(self).__name__, column) - 1)
        return _constant((self.spread * (level - 0.5)).masked_fill(absent(values)[:, None], 0), rest)

    def dither(self, encoded: Tensor, column: Column, *, generator: torch.Generator | None = None) -> Tensor:
        """Add `spread / (2 (K - 1))` times a uniform variable around 0, one for each row."""
        rows = torch.rand(len(encoded), *[1] * (encoded.ndim - 1), generator=generator, device=encoded.device)
        return encoded + self.spread / (2 * (_count(type(self).__name__, column) - 1)) * (rows.to(encoded) - 0.5)

    def expected(self, encoded: Tensor, column: Column) -> Tensor:
        """Return the mean code, `(B, 1)`, not rounded."""
        return (encoded.flatten(1).mean(1, keepdim=True) / self.spread + 0.5) * (
            _count(type(self).__name__, column) - 1
        )

    def decode(self, expected: Tensor, column: Column) -> Tensor:
        """Return the nearest code."""
        return expected[:, 0].round().long().clamp(0, _count(type(self).__name__, column) - 1)


@dataclass(frozen=True)
class Planes(LabelCodec):
    """A covariate as channels of its own numbers, standardised: a mask with a number for each pixel, or a few numbers,
    each in a constant channel.

    `levels` is how many values its numbers can take between their least and their greatest, 256 for an 8-bit image:
    they are dithered over the gaps, which are taken to be `2 / (levels - 1)` standard deviations wide. None leaves them
    as they are.
    """

    levels: int | None = None

    def __post_init__(self) -> None:
        if self.levels is not None and self.levels < 2:
            raise InputError(f"Planes needs at least two levels, got {self.levels}: leave it out for smooth values")

    def channels(self, column: Column, rest: tuple[int, ...]) -> int:
        """Return how many planes hold the numbers, or the number of numbers. Raises `InputError` for a category."""
        if column.categories is not None:
            raise InputError("Planes hold covariates, this condition has categories: use OneHot or Ordinal")
        size = torch.Size(rest).numel()
        return column.width if column.width % size else column.width // size

    def encode(self, values: Tensor, column: Column, rest: tuple[int, ...]) -> Tensor:
        """Return the standardised numbers, 0 where there is no value."""
        flat = values.reshape(len(values), -1).to(torch.get_default_dtype())
        scaled = ((flat - column.shift) / column.scale).masked_fill(absent(flat)[:, None], 0)
        if column.width % torch.Size(rest).numel():
            return _constant(scaled, rest)
        return scaled.reshape(len(values), -1, *rest)

    def dither(self, encoded: Tensor, column: Column, *, generator: torch.Generator | None = None) -> Tensor:
        """Add a uniform variable as wide as the gap between two levels to every number."""
        if self.levels is None:
            return encoded
        noise = torch.rand(encoded.shape, generator=generator, device=encoded.device, dtype=encoded.dtype) - 0.5
        return encoded + 2 / (self.levels - 1) * noise

    def expected(self, encoded: Tensor, column: Column) -> Tensor:
        """Return the numbers in their own units, `(B, width)`."""
        flat = encoded.flatten(1)
        if flat.shape[1] != column.width:  # constant channels
            flat = encoded.flatten(2).mean(2)
        return column.shift + column.scale * flat

    def decode(self, expected: Tensor, column: Column) -> Tensor:
        """Return the expected numbers."""
        return expected


@dataclass(frozen=True)
class OneHotMask(LabelCodec):
    """A mask of class numbers 0 .. `classes` - 1, one for each pixel, as one channel for each class: 1 and -1.

    Such a mask is a covariate with as many numbers as an image has pixels.
    """

    classes: int = 2

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError(f"OneHotMask needs at least two classes, got {self.classes}")

    def channels(self, column: Column, rest: tuple[int, ...]) -> int:
        """Return the number of classes. Raises `InputError` unless there is one number for each pixel."""
        if column.categories is not None or column.width != torch.Size(rest).numel():
            raise InputError(
                f"OneHotMask holds a number for each of {torch.Size(rest).numel()} pixels, this condition has "
                + (f"{column.width} numbers" if column.categories is None else "categories: use OneHot")
            )
        return self.classes

    def encode(self, values: Tensor, column: Column, rest: tuple[int, ...]) -> Tensor:
        """Return channels of 1 and -1, of `2 / classes - 1` where there is no value."""
        missing = absent(values)
        numbers = values.nan_to_num().round().long().clamp(0, self.classes - 1)
        hot = F.one_hot(numbers, self.classes).to(torch.get_default_dtype())
        hot = torch.where(missing[:, None, None], 1 / self.classes, hot)
        return (2 * hot - 1).mT.reshape(len(values), self.classes, *rest)

    def expected(self, encoded: Tensor, column: Column) -> Tensor:
        """Return the probability of each class at each pixel: `(B, classes, pixels)`."""
        return _simplex(encoded.flatten(2))

    def decode(self, expected: Tensor, column: Column) -> Tensor:
        """Return the most probable class number of each pixel: `(B, pixels)`."""
        return expected.argmax(1).to(expected.dtype)


def _count(name: str, column: Column) -> int:
    if column.categories is None:
        raise InputError(f"{name} holds categories, this condition has {column.width} numbers: use Planes")
    return len(column.categories)


def _constant(values: Tensor, rest: tuple[int, ...]) -> Tensor:
    """Return `(B, channels, *rest)` with the `values: (B, channels)` everywhere."""
    return values.reshape(*values.shape, *[1] * len(rest)).expand(*values.shape, *rest)


def _simplex(encoded: Tensor) -> Tensor:
    """Return probabilities along the second axis from means of channels of 1 and -1, which errors may push outside."""
    raw = ((encoded + 1) / 2).clamp(min=1e-6)
    return raw / raw.sum(1, keepdim=True)
