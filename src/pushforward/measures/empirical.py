"""The empirical measure of a finite data set, with weights and conditions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pushforward.conditions import Condition, Schema, encode, infer_schema, take
from pushforward.errors import InputError
from pushforward.measures.measure import Measure, Samples
from pushforward.randomness import seeded
from pushforward.tensors import as_samples

__all__ = ["Empirical"]


class Empirical(Measure):
    """Points `x: (n, *event)` with optional weights (summing to one) and conditions, one per row.

    `block` walks through shuffled epochs, so that every row is used once before any is used again; weighted points are
    drawn with replacement. `condition` is one array or a mapping of arrays (strings and integers are categories, floats
    continuous).

    >>> Empirical([[0.0, 1.0], [2.0, 3.0]]).event_shape
    (2,)
    """

    def __init__(
        self,
        x: Tensor | np.ndarray | list,
        condition: object = None,
        weight: Tensor | np.ndarray | list | None = None,
        *,
        schema: Schema | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        """Check and hold the points. `schema` fixes what conditions mean (inferred when `None`); `names` are the
        features' names.
        """
        self.x = as_samples("x", x)
        self._schema = infer_schema(condition) if schema is None else schema
        self.condition: Condition | None = encode(condition, self._schema, len(self))
        self.weight = None if weight is None else _normalised(weight, len(self))
        self.names = names

    def __len__(self) -> int:
        return self.x.shape[0]

    def __getitem__(self, rows: Tensor | slice) -> Empirical:
        """Return the measure of these rows (an index tensor, a mask or a slice), weights renormalised."""
        index = torch.arange(len(self))[rows]
        if index.numel() == 0:
            raise InputError("no row is left after the selection")
        part = Empirical.__new__(Empirical)
        part.x, part._schema, part.names = self.x[index], self._schema, self.names
        part.condition = take(self.condition, index)
        part.weight = None if self.weight is None else self.weight[index] / self.weight[index].sum()
        return part

    def mapped(self, x: Tensor, condition: Condition | None) -> Empirical:
        """Return the measure of other points and encoded conditions in the place of these, row by row."""
        other = Empirical(x, weight=self.weight)
        other._schema, other.condition = self._schema, condition
        return other

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point."""
        return tuple(self.x.shape[1:])

    @property
    def schema(self) -> Schema:
        """What the conditions of its rows mean."""
        return self._schema

    def rows(self, index: Tensor) -> Samples:
        """Return the points and conditions at these row numbers."""
        return Samples(self.x[index], take(self.condition, index))

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Samples:
        """Draw `n` rows, points and conditions, with replacement."""
        if self.weight is None:
            return self.rows(torch.randint(len(self), (n,), generator=generator))
        return self.rows(torch.multinomial(self.weight, n, replacement=True, generator=generator))

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` points with replacement."""
        return self.draw(n, generator=generator).x

    def block(self, index: int, n: int, *, seed: int) -> Samples:
        """Return rows `index n .. (index + 1) n` of the endless sequence of shuffled epochs."""
        if self.weight is not None:
            return self.draw(n, generator=seeded(seed, "block", index))
        epoch, start = divmod(index * n, len(self))
        if start + n <= len(self):  # nearly always
            return self.rows(_epoch(len(self), seed, epoch)[start : start + n])
        position = torch.arange(index * n, (index + 1) * n)
        epochs = position // len(self)
        orders = {epoch: _epoch(len(self), seed, epoch) for epoch in epochs.unique().tolist()}
        return self.rows(torch.cat([order[position[epochs == epoch] % len(self)] for epoch, order in orders.items()]))


@lru_cache(maxsize=8)
def _epoch(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=seeded(seed, "epoch", epoch))


def _normalised(weight: Tensor | np.ndarray | list, n: int) -> Tensor:
    weight = torch.as_tensor(weight, dtype=torch.float64)
    if weight.shape != (n,):
        raise InputError(f"weight has shape {tuple(weight.shape)}, wanted ({n},)")
    if not torch.isfinite(weight).all() or (weight < 0).any() or weight.sum() <= 0:
        raise InputError("weight must be finite, non-negative and not all zero")
    return weight / weight.sum()
