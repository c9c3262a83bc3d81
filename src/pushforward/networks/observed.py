"""Networks that see what is known of the target point beside the state, entry by entry."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError, nearest
from pushforward.networks.architecture import Architecture
from pushforward.observations import column_of, points_of

__all__ = ["Concatenated", "FrozenWhereKnown"]


@dataclass(frozen=True)
class Concatenated(Architecture):
    """Append conditions that are maps to the state as further channels, rather than embed them.

    `columns` are conditions with a number or more for each place of a point (an image, a mask, classes one-hot); by
    default those of the very shape of a point, all of them. The `network` sees states with that many more channels, and
    the other conditions as ever. An absent value counts as zero.

    >>> from pushforward.conditions import Column
    >>> from pushforward.networks import MLP
    >>> net = Concatenated(MLP(width=8)).build((2,), {"observation": Column(None, 2)})
    >>> net(torch.zeros(5, 2), torch.zeros(5), {"observation": torch.ones(5, 2)}).shape
    torch.Size([5, 2])
    """

    network: Architecture
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.columns is not None:
            object.__setattr__(self, "columns", tuple(self.columns))

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` where there is no such column, or one is not of the shape of a
        point.
        """
        places, size = math.prod(event_shape[1:]), math.prod(event_shape)
        maps = [name for name, column in schema.items() if column.categories is None and column.width % places == 0]
        columns = [name for name in maps if schema[name].width == size] if self.columns is None else self.columns
        for name in columns:
            if name not in maps:
                raise InputError(
                    f"no condition {name!r} is a map for points of shape {event_shape}{nearest(name, maps)}"
                )
        if not columns:
            raise InputError(f"Concatenated has nothing to append: no condition holds points of shape {event_shape}")
        rest = {name: column for name, column in schema.items() if name not in columns}
        more = sum(schema[name].width // places for name in columns)
        network = self.network.build((event_shape[0] + more, *event_shape[1:]), rest, heads)
        return _Concatenated(network, {name: schema[name].width for name in columns}, event_shape[0], heads)


class _Concatenated(nn.Module):
    def __init__(self, network: nn.Module, widths: dict[str, int], channels: int, heads: int) -> None:
        super().__init__()
        self.network, self.widths, self.channels, self.heads = network, widths, channels, heads

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`: of what the network returns, the channels of the state."""
        known = [self._map(name, width, x, condition) for name, width in self.widths.items()]
        others = {name: column for name, column in (condition or {}).items() if name not in self.widths}
        value = self.network(torch.cat([x, *known], 1), t, others)
        return value.unflatten(1, (self.heads, -1))[:, :, : self.channels].flatten(1, 2)

    def _map(self, name: str, width: int, x: Tensor, condition: Condition | None) -> Tensor:
        column = column_of(condition, name)
        return column.to(x).nan_to_num().reshape(len(x), width // math.prod(x.shape[2:]), *x.shape[2:])


@dataclass(frozen=True)
class FrozenWhereKnown(Architecture):
    """Predict zero wherever the condition `column` says that an entry is known, and what `network` predicts elsewhere.

    For a network that predicts the velocity: known entries then do not move, whatever the solver.
    """

    network: Architecture
    column: str = "known"

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` where there is no such column."""
        if self.column not in schema:
            raise InputError(f"FrozenWhereKnown has no condition {self.column!r}{nearest(self.column, schema)}")
        return _Frozen(self.network.build(event_shape, schema, heads), self.column, heads)


class _Frozen(nn.Module):
    def __init__(self, network: nn.Module, column: str, heads: int) -> None:
        super().__init__()
        self.network, self.column, self.heads = network, column, heads

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, C, *rest), (B,) -> (B, heads C, *rest)`."""
        known = points_of(condition, self.column, x).nan_to_num() > 0.5
        value = self.network(x, t, condition)
        return torch.where(torch.cat([known] * self.heads, 1), 0, value)
