"""What successive shortest paths work on: lists of cheap columns, what is sent so far, and the memory of a search."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np

__all__ = [
    "NOWHERE",
    "PATHS",
    "ROOT",
    "SETTLED",
    "SPARE",
    "USED",
    "WANTING",
    "Flow",
    "Index",
    "Lists",
    "Search",
    "Values",
]

Values: TypeAlias = Any
Index: TypeAlias = Any
"""Arrays of float64 and of int64: NumPy's own types are too wide where single entries are meant."""

NOWHERE, SETTLED = -1, -2
"""Places of what is not in the heap: of what was never there or is a row's, and of columns that left it for good."""

USED, SPARE, PATHS, ROOT, WANTING = range(5)
"""What the `counts` of a flow are: entries used, the first to be used again, paths, the row to be emptied next, and
how many rows want longer lists."""


class Lists(NamedTuple):
    """The `width[i]` cheapest columns of every row, with what they cost, and `lower` what they cost less their price.

    In order of the latter; it was true when they were listed and is a lower bound since. All columns that cost less
    than `limit[i]` are among them.
    """

    column: Index
    cost: Values
    lower: Values
    width: Index
    limit: Values

    @staticmethod
    def empty(n: int, width: int) -> Lists:
        """Return empty lists of up to `width` columns for n rows."""
        shape = (n, width)
        return Lists(np.empty(shape, np.int64), np.empty(shape), np.empty(shape), np.zeros(n, np.int64), np.zeros(n))

    def widened(self, width: int) -> Lists:
        """Return lists with room for at least `width` columns."""
        room = ((0, 0), (0, max(0, width - self.column.shape[1])))
        return self._replace(**{name: np.pad(getattr(self, name), room) for name in ("column", "cost", "lower")})


class Flow(NamedTuple):
    """What is sent: entries of `mass` at `cost` from `row`, chained for each column from `head` by `following`.

    `excess: (n,)` and `deficit: (m,)` are what rows and columns still have and want; less than `dust` is nothing.
    `price: (m,)` is the column potential.
    """

    excess: Values
    deficit: Values
    price: Values
    head: Index
    following: Index
    row: Index
    mass: Values
    cost: Values
    counts: Index
    dust: float

    @staticmethod
    def empty(a: Values, b: Values, price: Values, dust: float) -> Flow:
        """Return the flow of the masses `a: (n,)` and `b: (m,)` in which nothing is sent yet."""
        size = 2 * (len(a) + len(b))
        return Flow(
            a.copy(), b.copy(), price.copy(), np.full(len(b), NOWHERE), np.empty(size, np.int64),
            np.empty(size, np.int64), np.empty(size), np.empty(size), np.array([0, NOWHERE, 0, 0, 0]), dust,
        )  # fmt: skip

    def with_room(self) -> Flow:
        """Return the flow with room for twice as many entries."""
        wider = {
            name: np.resize(getattr(self, name), 2 * len(self.row)) for name in ("following", "row", "mass", "cost")
        }
        return self._replace(**wider)


class Search(NamedTuple):
    """Memory of a search from one row.

    `distance: (m,)` of columns, reached from the row `parent` at `cost`; rows are reached from the column `entry` that
    they send to, and distances of their columns are measured from `base`. `visits` and `touches` are the rows and
    columns reached. The heap of `key` and `item` holds columns, and after them rows that may have to be looked
    through; `place: (m + n,)` tells where.
    """

    distance: Values
    parent: Index
    cost: Values
    touches: Index
    entry: Index
    base: Values
    visited: Any
    visits: Index
    key: Values
    item: Index
    place: Index
    wanting: Index
    everything: Index
    nothing: Values

    @staticmethod
    def empty(n: int, m: int) -> Search:
        """Return the memory for searches among n rows and m columns."""
        return Search(
            np.full(m, np.inf), np.empty(m, np.int64), np.empty(m), np.empty(m, np.int64),
            np.empty(n, np.int64), np.empty(n), np.zeros(n, np.bool_), np.empty(n, np.int64),
            np.empty(m + n), np.empty(m + n, np.int64), np.full(m + n, NOWHERE), np.empty(n, np.int64),
            np.arange(m), np.full(m, -np.inf),
        )  # fmt: skip
