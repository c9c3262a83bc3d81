"""Exact transport for any weights, permutations among them: successive shortest paths from nearly optimal prices."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pushforward.ot.exact.certificate import column_conjugate, held, row_conjugate
from pushforward.ot.exact.network import PATHS, ROOT, WANTING, Flow, Lists, Search
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.prices import prices
from pushforward.ot.problem import Problem

__all__ = ["Optimum", "exact_transport", "optimum"]

SHORT, LONG = 12, 48
"""Columns on the list of a row at first, and once it had to be looked through."""

DUST = 1e-13
"""Masses below this share of the mean one are rounding errors."""

BLOCK = 1 << 22
"""Entries of the cost that are made at once where the matrix is not held."""


@dataclass(frozen=True)
class Optimum:
    """Entries `(i, j)` with their `mass`, each `(k,)`, the column potential `price: (m,)`, and the paths it took."""

    i: Tensor
    j: Tensor
    mass: Tensor
    price: Tensor
    paths: int


def exact_transport(problem: Problem) -> SparsePlan:
    """Minimise `<P, C>` exactly for any weights, up to the rounding of the costs.

    Points without mass take no part. `duality_gap` certifies the plan.
    """
    rows, columns = problem.a.nonzero()[:, 0], problem.b.nonzero()[:, 0]
    whole = held(problem)
    all_massive = len(rows) == len(problem.a) and len(columns) == len(problem.b)
    massive = whole if all_massive else whole.part(rows, columns)
    a, b = massive.a.double(), massive.b.double()
    found = optimum(replace(massive, a=a / a.sum(), b=b / b.sum()))
    return SparsePlan(
        problem, "exact", found.paths, True, rows[found.i], columns[found.j], found.mass.to(problem.a.dtype),
        found.price if all_massive else _extended(whole, columns, found.price),
    )  # fmt: skip


def optimum(problem: Problem) -> Optimum:
    """Solve a problem with positive weights of equal sum; `held` tells whether its matrix is made.

    Nearly optimal prices make most entries of an optimal plan the cheapest of their rows. What these cannot take is
    sent along shortest paths from row to row, of which there had better be few.
    """
    from pushforward.ot.exact.shortest_paths import entries

    matrix = isinstance(problem.cost, Tensor)
    if matrix and problem.shape[0] > problem.shape[1]:
        turned = replace(problem, a=problem.b, b=problem.a, cost=problem.dense().mT.contiguous(), x=None, y=None)
        found = optimum(turned)
        return replace(found, i=found.j, j=found.i, price=column_conjugate(problem, found.price))
    device, price = problem.a.device, prices(problem)
    a, b, g = (values.double().cpu().numpy() for values in (problem.a, problem.b, price))
    cost = problem.dense().double().contiguous().cpu().numpy() if matrix else np.empty((0, len(b)))
    flow = _flow(problem, cost, Flow.empty(a, b, g, DUST * float(a.mean())))
    i, j, mass = (torch.from_numpy(values).to(device) for values in entries(flow))
    return Optimum(i, j, mass, torch.from_numpy(flow.price).to(device), int(flow.counts[PATHS]))


def _flow(problem: Problem, cost: NDArray[np.float64], flow: Flow) -> Flow:
    """Send everything; where the matrix is not held, lists of rows are made here, as they are wanted."""
    from pushforward.ot.exact.shortest_paths import advance, list_rows, seed  # the compiler is slow to import

    n, m = problem.shape
    search, lists = Search.empty(n, m), Lists.empty(n, min(m, LONG))
    listed = np.full(n, -1)
    if len(cost):
        list_rows(cost, lists, flow.price, min(m, SHORT))
    else:
        lists = _listed(problem, lists, flow.price, np.arange(n), min(m, LONG))
    seed(lists, flow)
    while flow.counts[ROOT] < n:
        advance(cost, lists, flow, search)
        wanting, paths = search.wanting[: flow.counts[WANTING]], flow.counts[PATHS]
        if len(wanting):  # again, at the same prices: they want more
            again = listed[wanting] == paths
            width = int(lists.width[wanting].max()) * 2 if again.any() else LONG
            lists = _listed(problem, lists, flow.price, wanting, min(m, width))
            listed[wanting] = paths
        elif flow.counts[ROOT] < n:
            flow = flow.with_room()
    return flow


def _listed(problem: Problem, lists: Lists, price: NDArray[np.float64], rows: NDArray[np.int64], k: int) -> Lists:
    """Return the lists with those of `rows` made anew, `k` columns long."""
    lists, g = lists.widened(k), torch.from_numpy(price).to(problem.a.device)
    for some in np.array_split(rows, len(rows) * len(g) // BLOCK + 1):
        cost = problem.rows(torch.from_numpy(some).to(g.device)).double()
        lower, column = (cost - g).topk(k, 1, largest=False)
        for name, values in (("lower", lower), ("column", column), ("cost", cost.gather(1, column))):
            getattr(lists, name)[some, :k] = values.cpu().numpy()
        lists.width[some] = k
        lists.limit[some] = lower[:, -1].cpu().numpy() if k < len(g) else np.inf
    return lists


def _extended(whole: Problem, columns: Tensor, price: Tensor) -> Tensor:
    """Return the potential of all columns: those without mass get the conjugate of the conjugate."""
    known = torch.full(whole.b.shape, -torch.inf, dtype=torch.float64, device=price.device)
    known = known.index_copy(0, columns, price)
    return column_conjugate(whole, row_conjugate(whole, known)).index_copy(0, columns, price)
