"""Pairs that are given: row k of the source belongs to row k of the target."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides
from pushforward.errors import InputError

__all__ = ["Matched"]


@dataclass(frozen=True)
class Matched(Coupling):
    """Pair row k of the source data with row k of the target data: before and after, input and output, or the noise and
    the samples of another model, kept in one file (`fit pairs.npz:x0 pairs.npz:x1 --coupling Matched`).

    Batches are drawn from these pairs at random, by the weights of the target; conditions come with them.
    `gaussian_source` is false from here on.
    """

    rowwise: ClassVar[bool] = True
    _pairs: Pairs | None = field(default=None, init=False, repr=False, compare=False)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with the data. Raises `InputError` unless both sides are finite sets of as many rows."""
        if sides.data is None or sides.source_data is None:
            raise InputError("Matched pairs row with row: both sides must be data sets")
        x0, (x1, weight, condition) = sides.source_data, sides.data
        if len(x0) != len(x1):
            raise InputError(f"Matched pairs row with row, but the source has {len(x0)} rows and the target {len(x1)}")
        ready = copy(self)
        object.__setattr__(ready, "_pairs", Pairs(x0, x1, condition, weight))
        return ready

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Draw as many pairs as `x1` has rows. Raises `InputError` before `prepared`."""
        if self._pairs is None or self._pairs.weight is None:
            raise InputError("Matched has not seen the data set yet: call prepared first")
        rows = torch.multinomial(self._pairs.weight, len(x1), replacement=True, generator=generator)
        drawn = self._pairs[rows]
        return Pairs(drawn.x0, drawn.x1, drawn.condition)
