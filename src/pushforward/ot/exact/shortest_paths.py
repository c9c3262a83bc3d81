"""Successive shortest paths: send what is left of each row to columns that still want it, along cheapest paths.

Compiled. Rows are sources and columns targets; the price `v_j` of a column is its potential, and what it costs a row is
`C_ij - v_j`. Prices only fall, so these costs only rise: the few cheapest columns of a row, listed at earlier prices,
hold all columns below a limit, and a row is looked through as a whole only where a path might be longer than that.

Source: Edmonds and Karp, *Theoretical improvements in algorithmic efficiency for network flow problems* (1972); Jonker
and Volgenant, *A shortest augmenting path algorithm for dense and sparse linear assignment problems* (1987).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pushforward.ot.exact.compiled import compiled
from pushforward.ot.exact.network import (
    NOWHERE,
    PATHS,
    ROOT,
    SETTLED,
    SPARE,
    USED,
    WANTING,
    Flow,
    Index,
    Lists,
    Search,
    Values,
)

__all__ = ["advance", "entries", "list_rows", "seed"]


@compiled
def list_rows(cost: Values, lists: Lists, price: Values, k: int) -> None:
    """List the `k` cheapest columns of every row of the matrix `cost: (n, m)`."""
    for i in range(len(cost)):
        _list_cheapest(cost[i], lists, price, i, k)


@compiled
def _list_cheapest(costs: Values, lists: Lists, price: Values, i: int, k: int) -> None:
    """List the `k` columns that cost row i least at the present prices; its costs are `costs: (m,)`."""
    m, count, last = len(costs), 0, np.inf
    column, lower = lists.column[i], lists.lower[i]
    for j in range(m):
        reduced = costs[j] - price[j]
        if reduced < last:
            if count < k:
                count += 1
            p = count - 1
            while p > 0 and lower[p - 1] > reduced:
                lower[p], column[p] = lower[p - 1], column[p - 1]
                p -= 1
            lower[p], column[p] = reduced, j
            if count == k:
                last = lower[k - 1]
    for c in range(count):
        lists.cost[i, c] = costs[column[c]]
    lists.width[i] = count
    lists.limit[i] = last if count < m else np.inf


@compiled
def seed(lists: Lists, flow: Flow) -> None:
    """Send from every row what its cheapest column can take."""
    for i in range(len(flow.excess)):
        j = lists.column[i, 0]
        step = min(flow.excess[i], flow.deficit[j])
        if step > flow.dust:
            _send(flow, i, j, step, lists.cost[i, 0])
            flow.excess[i] -= step
            flow.deficit[j] -= step


@compiled
def advance(cost: Values, lists: Lists, flow: Flow, search: Search) -> None:
    """Empty row after row, from `flow.counts[ROOT]` on: n at the end.

    `cost` is the matrix `(n, m)`, or empty: then rows cannot be looked through here, and it stops where some have to
    be, the `flow.counts[WANTING]` first of `search.wanting`. It also stops, with none wanting, where entries may not
    suffice.
    """
    counts = flow.counts
    while counts[ROOT] < len(flow.excess):
        root = counts[ROOT]
        if flow.excess[root] <= flow.dust:
            counts[ROOT] += 1
            continue
        if counts[USED] + len(flow.excess) > len(flow.row):
            return
        sink = _find(cost, lists, flow, search, root)
        if counts[WANTING] > 0:
            return
        if sink == NOWHERE:  # all that is wanted is dust
            counts[ROOT] += 1
        else:
            _augment(flow, search, root, sink)


@compiled
def _find(cost: Values, lists: Lists, flow: Flow, search: Search, root: int) -> int:
    """Return the column nearest to row `root` that wants more, or -1; lower the prices of all that are nearer.

    Long, and all in local names: this is where the time goes. Each turn goes on from a row to columns: to those on its
    list as soon as it is reached, and to all others when nothing nearer than its limit is left. Where rows want longer
    lists, no price is lowered.
    """
    m, price, deficit, dust = len(flow.deficit), flow.price, flow.deficit, flow.dust
    distance, parent, place, base, visits = search.distance, search.parent, search.place, search.base, search.visits
    key, item, touches = search.key, search.item, search.touches
    zero: Any = np.int64(0)  # a bare 0 is a type of its own, for which functions would be compiled once more
    size, touched, wanting, reached, done, bound, sink = zero, zero, zero, zero + 1, zero, np.inf, zero + NOWHERE
    visits[0], base[root], search.visited[root] = root, 0.0, True
    while True:
        listed = done < reached
        if listed:
            i = visits[done]
            done += 1
            columns, costs, lower, count = lists.column[i], lists.cost[i], lists.lower[i], lists.width[i]
        else:
            if size == 0 or key[0] >= bound:
                break
            first = item[0]
            size = _drop(key, item, place, size)
            if first < m:
                place[first] = SETTLED
                reached = _enter(flow, search, first, reached)
                continue
            i = first - m
            if len(cost) == 0:
                search.wanting[wanting] = i
                wanting += 1
                continue
            columns, costs, lower, count = search.everything, cost[i], search.nothing, m
        from_here = base[i]
        for c in range(count):
            if lower[c] - from_here >= bound:
                break
            j = columns[c]
            there = costs[c] - price[j] - from_here
            if there >= bound or there >= distance[j] or place[j] == SETTLED:
                continue
            parent[j], search.cost[j] = i, costs[c]
            if deficit[j] > dust:
                sink, bound = j, there
                continue
            if place[j] == NOWHERE:
                touches[touched] = j
                touched += 1
            distance[j] = there
            size = _put(key, item, place, size, j, there)
        if not listed:
            _list_cheapest(cost[i], lists, price, i, lists.column.shape[1])
        elif lists.limit[i] - from_here < bound:
            size = _put(key, item, place, size, m + i, lists.limit[i] - from_here)
    flow.counts[WANTING] = wanting
    _conclude(flow, search, reached, touched, size, bound if wanting == 0 and sink != NOWHERE else -np.inf)
    return sink


@compiled
def _enter(flow: Flow, search: Search, j: int, reached: int) -> int:
    """Reach the rows that send to column j, as they could send elsewhere instead; return how many are reached."""
    e = flow.head[j]
    while e != NOWHERE:
        i = flow.row[e]
        if not search.visited[i]:
            search.visited[i], search.entry[i], search.visits[reached] = True, j, i
            search.base[i] = flow.cost[e] - flow.price[j] - search.distance[j]
            reached += 1
        e = flow.following[e]
    return reached


@compiled
def _conclude(flow: Flow, search: Search, reached: int, touched: int, size: int, bound: float) -> None:
    """Lower the prices of what was settled nearer than `bound` by the rest, and clear the memory."""
    for j in search.touches[:touched]:
        if search.place[j] == SETTLED:
            flow.price[j] += min(search.distance[j] - bound, 0.0)
        search.distance[j], search.place[j] = np.inf, NOWHERE
    for i in search.visits[:reached]:
        search.visited[i] = False
    for item in search.item[:size]:
        search.place[item] = NOWHERE


@compiled
def _augment(flow: Flow, search: Search, root: int, sink: int) -> None:
    """Send as much as possible along the path that was found."""
    step, j = min(flow.excess[root], flow.deficit[sink]), sink
    while search.parent[j] != root:
        i = search.parent[j]
        j = search.entry[i]
        step = min(step, flow.mass[_entry(flow, i, j)])
    j = sink
    _send(flow, search.parent[j], j, step, search.cost[j])
    while search.parent[j] != root:
        i = search.parent[j]
        j = search.entry[i]
        _take_back(flow, i, j, step)
        _send(flow, search.parent[j], j, step, search.cost[j])
    flow.excess[root] -= step
    flow.deficit[sink] -= step
    flow.counts[PATHS] += 1


@compiled
def entries(flow: Flow) -> tuple[Index, Index, Values]:
    """Return the rows, columns and masses of all that is sent, each `(k,)`, in order of the columns."""
    count, most = 0, flow.counts[USED]
    row, column, mass = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most)
    for j in range(len(flow.head)):
        e = flow.head[j]
        while e != NOWHERE:
            row[count], column[count], mass[count] = flow.row[e], j, flow.mass[e]
            count += 1
            e = flow.following[e]
    return row[:count], column[:count], mass[:count]


@compiled
def _entry(flow: Flow, i: int, j: int) -> int:
    """Return the entry from row i to column j, or -1."""
    e = flow.head[j]
    while e != NOWHERE and flow.row[e] != i:
        e = flow.following[e]
    return e


@compiled
def _send(flow: Flow, i: int, j: int, step: float, cost: float) -> None:
    """Send `step` more from row i to column j."""
    e = _entry(flow, i, j)
    if e != NOWHERE:
        flow.mass[e] += step
        return
    e = flow.counts[SPARE]
    if e != NOWHERE:
        flow.counts[SPARE] = flow.following[e]
    else:
        e = flow.counts[USED]
        flow.counts[USED] += 1
    flow.row[e], flow.mass[e], flow.cost[e], flow.following[e] = i, step, cost, flow.head[j]
    flow.head[j] = e


@compiled
def _take_back(flow: Flow, i: int, j: int, step: float) -> None:
    """Send `step` less from row i to column j, and forget the entry if nothing is left."""
    before, e = NOWHERE, flow.head[j]
    while flow.row[e] != i:
        before, e = e, flow.following[e]
    flow.mass[e] -= step
    if flow.mass[e] > flow.dust:
        return
    if before == NOWHERE:
        flow.head[j] = flow.following[e]
    else:
        flow.following[before] = flow.following[e]
    flow.following[e] = flow.counts[SPARE]
    flow.counts[SPARE] = e


@compiled
def _put(key: Values, item: Index, place: Index, size: int, new: int, at: float) -> int:
    """Put `new` into the heap, or move it up, to the key `at`; return the size of the heap."""
    p = place[new]
    if p == NOWHERE:
        p = size
        size += 1
    while p > 0:
        above = (p - 1) // 2
        if key[above] <= at:
            break
        key[p], item[p] = key[above], item[above]
        place[item[p]] = p
        p = above
    key[p], item[p], place[new] = at, new, p
    return size


@compiled
def _drop(key: Values, item: Index, place: Index, size: int) -> int:
    """Take the first item off the heap; return the size of the heap."""
    place[item[0]] = NOWHERE
    size -= 1
    at, last, p = key[size], item[size], 0
    while 2 * p + 1 < size:
        below = 2 * p + 1
        if below + 1 < size and key[below + 1] < key[below]:
            below += 1
        if key[below] >= at:
            break
        key[p], item[p] = key[below], item[below]
        place[item[p]] = p
        p = below
    if size > 0:
        key[p], item[p], place[last] = at, last, p
    return size
