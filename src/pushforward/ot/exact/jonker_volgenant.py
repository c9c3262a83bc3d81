"""Small assignments, one after another: reduce rows and columns, then augment along shortest paths.

Compiled. All loops over a row are without branches, so that a processor takes several columns at once; that makes up
for looking through whole rows as long as these are short.

Source: Jonker and Volgenant, *A shortest augmenting path algorithm for dense and sparse linear assignment problems*
(1987).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.ot.exact.compiled import compiled, vectorised

__all__ = ["assign_each"]

Values = NDArray[np.float64]
Index = NDArray[np.int64]

FAR = 1e300
"""Farther than anything, yet finite: differences of it are numbers."""

SWEEPS = 2
"""Times that all free rows bid for columns before paths are searched."""


class _Work(NamedTuple):
    """Room for one problem: what the matching is so far, and one row of everything a search needs."""

    row_of: Index
    """The row of every column, -1 for none."""
    free: Index
    """Rows without a column."""
    key: Values
    """Distances of columns that are not settled."""
    parent: Index
    """The row from which a column is reached."""
    blocked: Values
    """`FAR` for settled columns, else 0."""
    settled: Index
    """Settled columns in their order, at the distances `far`."""
    far: Values


@compiled
def assign_each(costs: NDArray[np.floating], prices: Values, columns: Index) -> None:
    """Write the optimal column of every row, and prices that prove it, of problems `costs: (k, n, n)` of any floats."""
    n = costs.shape[1]
    cost = np.empty((n, n))
    work = _Work(
        np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n, np.int64), np.empty(n),
        np.empty(n, np.int64), np.empty(n),
    )  # fmt: skip
    for k in range(len(costs)):
        cost[:] = costs[k]
        _assign(cost, prices[k], columns[k], work)


@compiled
def _assign(cost: Values, price: Values, column_of: Index, work: _Work) -> None:
    count = _reduce_columns(cost, price, column_of, work)
    budget = len(cost)  # where costs are close, prices could be outbid by next to nothing for long
    for _ in range(SWEEPS):
        count, budget = _bid(cost, price, column_of, work, count, budget)
    for k in range(count):
        _augment(cost, price, column_of, work, work.free[k])


@compiled
def _reduce_columns(cost: Values, price: Values, column_of: Index, work: _Work) -> int:
    """Give every column to its cheapest row, each row one; lower the prices of rows with one choice; count the free."""
    n, row_of, choices = len(cost), work.row_of, work.parent
    _cheapest_rows(cost, price, row_of)
    choices[:] = 0
    column_of[:] = -1
    for j in range(n):
        i = row_of[j]
        choices[i] += 1
        if choices[i] == 1:
            column_of[i] = j
        else:
            row_of[j] = -1
    count = 0
    for i in range(n):
        if choices[i] == 0:
            work.free[count] = i
            count += 1
        elif choices[i] == 1 and n > 1:
            _reduced(cost[i], price, work.key)
            work.key[column_of[i]] = FAR
            price[column_of[i]] -= _least(work.key)
    return count


@compiled
def _cheapest_rows(cost: Values, price: Values, row_of: Index) -> None:
    price[:] = cost[0]
    row_of[:] = 0
    for i in range(1, len(cost)):
        for j in range(len(price)):
            cheaper = cost[i, j] < price[j]
            price[j] = cost[i, j] if cheaper else price[j]
            row_of[j] = i if cheaper else row_of[j]


@compiled
def _bid(cost: Values, price: Values, column_of: Index, work: _Work, count: int, budget: int) -> tuple[int, int]:
    """Let every free row take its cheapest column, at a price at which its second is as cheap; return those left.

    A row that loses its column bids at once, as long as there is a budget.
    """
    free, row_of, k, left = work.free, work.row_of, 0, 0
    while k < count:
        i = free[k]
        k += 1
        cheapest = _reduced(cost[i], price, work.key)
        j = _place(work.key, cheapest)
        work.key[j] = FAR
        second = _least(work.key)
        rises, loser = cheapest < second < FAR, row_of[j]
        if rises:
            price[j] -= second - cheapest
        elif loser >= 0 and second < FAR:
            j = _place(work.key, second)
            loser = row_of[j]
        column_of[i], row_of[j] = j, i
        budget -= 1
        if loser >= 0:
            column_of[loser] = -1
            if rises and budget > 0:
                k -= 1
                free[k] = loser
            else:
                free[left] = loser
                left += 1
    return left, budget


@compiled
def _augment(cost: Values, price: Values, column_of: Index, work: _Work, root: int) -> None:
    """Find the nearest column without a row, lower the prices of nearer ones, and shift rows along the path."""
    row_of, key, parent, blocked = work.row_of, work.key, work.parent, work.blocked
    key[:] = FAR
    blocked[:] = 0.0
    i, offset, done = root, 0.0, 0
    while True:
        bound = _relax(cost[i], price, offset, blocked, key, parent, i)
        j = _place(key, bound)
        i = row_of[j]
        if i < 0:
            break
        work.settled[done], work.far[done] = j, bound
        done += 1
        key[j], blocked[j] = FAR, FAR
        offset = bound - (cost[i, j] - price[j])
    for k in range(done):
        price[work.settled[k]] += work.far[k] - bound
    while True:
        i = parent[j]
        row_of[j] = i
        j, column_of[i] = column_of[i], j
        if i == root:
            break


@vectorised
def _relax(row: Values, price: Values, offset: float, blocked: Values, key: Values, parent: Index, i: int) -> float:
    """Reach all columns from row i, which is `offset` away from its cheapest; return the least distance."""
    least = FAR
    for j in range(len(row)):
        distance = (row[j] - price[j]) + offset + blocked[j]
        nearer = distance < key[j]
        key[j] = distance if nearer else key[j]
        parent[j] = i if nearer else parent[j]
        least = min(least, key[j])
    return least


@vectorised
def _reduced(row: Values, price: Values, out: Values) -> float:
    """Write `row - price` and return its least."""
    least = FAR
    for j in range(len(row)):
        out[j] = row[j] - price[j]
        least = min(least, out[j])
    return least


@vectorised
def _least(values: Values) -> float:
    least = FAR
    for j in range(len(values)):
        least = min(least, values[j])
    return least


@compiled
def _place(values: Values, value: float) -> int:
    """Return the first place of a value that is there."""
    j = 0
    while values[j] != value:
        j += 1
    return j
