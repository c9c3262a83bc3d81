"""Times and conditions as vectors."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.conditions import Column, Condition, Schema, absent

__all__ = ["ConditionEmbedding", "FourierTime"]


class FourierTime(nn.Module):
    """Fourier features of time: `sin(2 pi f t)` and `cos(2 pi f t)` for `count` frequencies from `low` to `high`,
    evenly spaced in log f.

    Low frequencies keep the derivative in t small, which matters to methods that differentiate through time.

    >>> FourierTime(4)(torch.zeros(3)).shape
    torch.Size([3, 8])
    """

    def __init__(self, count: int, low: float = 0.25, high: float = 4.0) -> None:
        super().__init__()
        frequencies = 2 * math.pi * torch.logspace(math.log2(low), math.log2(high), count, base=2)
        phases = torch.full((count,), math.pi / 2)
        self.frequencies: Tensor
        self.phases: Tensor
        self.register_buffer("frequencies", frequencies.repeat(2), persistent=False)
        self.register_buffer("phases", torch.cat([torch.zeros(count), phases]), persistent=False)

    def forward(self, t: Tensor) -> Tensor:
        """`(B,) -> (B, 2 count)`; one multiply-add and one sine."""
        return torch.addcmul(self.phases, t[:, None], self.frequencies).sin()


class ConditionEmbedding(nn.Module):
    """Embed a condition as the sum over its columns: a table for categories, a small network for standardised
    continuous covariates.

    An absent entry (a negative category, a NaN), a missing column, or no condition at all uses a learned null vector,
    per column and row.
    """

    def __init__(self, schema: Schema, width: int) -> None:
        super().__init__()
        self.names = tuple(schema)
        self.columns = nn.ModuleList(_column_embedding(column, width) for column in schema.values())

    def forward(self, condition: Condition | None, rows: int) -> Tensor:
        """Return `(rows, width)`. Columns that the schema does not name are ignored."""
        condition = {} if condition is None else condition
        parts = [embed(condition.get(name), rows) for name, embed in zip(self.names, self.columns, strict=True)]
        return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)

    def silence(self, name: str) -> None:
        """Let a covariate say nothing until it is trained, whatever its value."""
        column = self.columns[self.names.index(name)]
        assert isinstance(column, _Continuous)
        for parameter in (*column.net[-1].parameters(), column.null):
            nn.init.zeros_(parameter)


def _column_embedding(column: Column, width: int) -> nn.Module:
    return _Continuous(column, width) if column.categories is None else _Categorical(len(column.categories), width)


class _Categorical(nn.Module):
    """A table whose last row is the null vector."""

    def __init__(self, categories: int, width: int) -> None:
        super().__init__()
        self.null = categories
        self.table = nn.Embedding(categories + 1, width)

    def forward(self, code: Tensor | None, rows: int) -> Tensor:
        if code is None:
            return self.table.weight[self.null].expand(rows, -1)
        return self.table(torch.where(absent(code), self.null, code))


class _Continuous(nn.Module):
    """Standardise by the column's shift and scale, then a small network; absent rows take the null vector."""

    def __init__(self, column: Column, width: int) -> None:
        super().__init__()
        self.shift, self.scale = column.shift, column.scale
        self.net = nn.Sequential(nn.Linear(column.width, width), nn.SiLU(), nn.Linear(width, width))
        self.null = nn.Parameter(torch.randn(width))

    def forward(self, value: Tensor | None, rows: int) -> Tensor:
        if value is None:
            return self.null.expand(rows, -1)
        missing = absent(value)[:, None]
        # replaced before the network as well as after it: a NaN inside would reach the weights' gradient as 0 * NaN.
        # Covariates are kept in the default dtype by `encode`; the network may be in another.
        filled = torch.where(missing, self.shift, value.reshape(rows, -1)).to(self.null.dtype)
        return torch.where(missing, self.null, self.net((filled - self.shift) / self.scale))
