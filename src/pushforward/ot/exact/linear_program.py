"""Exact transport for any weights: a linear program on few edges that grows until the dual certifies it on all."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.ot.exact.candidates import part
from pushforward.ot.exact.certificate import held
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.pricing import quick_prices
from pushforward.ot.problem import Problem

__all__ = ["linear_program"]

CANDIDATES = 8
"""Edges taken into the program for every row and column, at the start and in every round."""


def linear_program(problem: Problem, tolerance: float, max_rounds: int) -> SparsePlan:
    """Minimise `<P, C>` exactly for any weights.

    A quick entropic ladder prices all edges; HiGHS solves the program on the cheapest few of every row and column
    (and a staircase that makes it feasible); its dual potentials then price all edges again, and every violated one
    is a candidate of the next round. When none is violated by more than `tolerance` times the spread of the cost, the
    plan is optimal among all plans. Points without mass take no part.

    Warns with `ConvergenceWarning` when `max_rounds` rounds did not suffice.
    """
    rows, columns = problem.a.nonzero()[:, 0], problem.b.nonzero()[:, 0]
    massive = part(held(problem), rows, columns)
    a, b, cost = massive.a.double(), massive.b.double(), massive.dense().double()
    a, b = a / a.sum(), b / b.sum()
    start = quick_prices(massive)
    spread = float((cost - start).std(correction=0)) or 1.0
    reduced = ((cost - start) / spread).cpu().numpy()
    reduced -= reduced.min(1, keepdims=True)
    master = _Master(reduced, a.cpu().numpy(), b.cpu().numpy())
    rounds = master.run(tolerance, max_rounds)
    if master.violation > tolerance:
        warnings.warn(
            f"the exact solver stopped after {rounds} rounds with the dual violated by "
            f"{master.violation:.2e} of the cost's spread, wanted {tolerance:.2e}: raise max_iterations",
            ConvergenceWarning,
            stacklevel=3,
        )
    dual = start + spread * torch.from_numpy(master.g).to(start.device)
    return _plan(problem, rows, columns, master, dual, rounds, master.violation <= tolerance)


class _Master:
    """The restricted program: its edges, and after `run` their masses, the column potential and the worst violation."""

    def __init__(self, cost: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
        self.cost, self.a, self.b = cost, a, b
        self.edges = np.union1d(_cheapest(cost, np.inf), _staircase(a, b))
        self.mass, self.g, self.violation = np.zeros(0), np.zeros(len(b)), np.inf

    def run(self, tolerance: float, max_rounds: int) -> int:
        """Solve and enlarge until the dual holds on all edges; return the number of rounds."""
        for count in range(1, max_rounds + 1):
            f, self.g = self._solve()
            priced = self.cost - f[:, None] - self.g
            self.violation = max(0.0, -float(priced.min()))
            if self.violation <= tolerance or count == max_rounds:
                return count
            self.edges = np.union1d(self.edges, _cheapest(priced, -tolerance))
        return max_rounds

    def _solve(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Solve on the present edges, masses scaled to about one; the last constraint is implied and left out."""
        n, m = self.cost.shape
        i, j = np.divmod(self.edges, m)
        k = np.arange(len(self.edges))
        matrix = coo_array(
            (np.ones(2 * len(k)), (np.concatenate([i, n + j]), np.concatenate([k, k]))), shape=(n + m, len(k))
        ).tocsr()
        size = max(n, m)
        found = linprog(
            self.cost[i, j], A_eq=matrix[:-1], b_eq=size * np.concatenate([self.a, self.b])[:-1], method="highs-ds",
            options={"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10},
        )  # fmt: skip
        if found.x is None:
            raise RuntimeError(f"HiGHS could not solve the transport program: {found.message}")
        self.mass = np.maximum(found.x, 0) / size
        dual = np.append(found.eqlin.marginals, 0.0)
        return dual[:n], dual[n:]


def _cheapest(cost: NDArray[np.float64], below: float) -> NDArray[np.int64]:
    """Return the flat indices of the cheapest `CANDIDATES` edges of every row and column, those under `below` only."""
    n, m = cost.shape
    rows = np.argpartition(cost, min(CANDIDATES, m) - 1, axis=1)[:, :CANDIDATES]
    columns = np.argpartition(cost, min(CANDIDATES, n) - 1, axis=0)[:CANDIDATES]
    flat = np.concatenate([(np.arange(n)[:, None] * m + rows).ravel(), (columns * m + np.arange(m)).ravel()])
    return np.unique(flat[cost.ravel()[flat] < below])


def _staircase(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the edges of the north-west corner plan, which is feasible for any weights."""
    levels = np.unique(np.concatenate([np.cumsum(a), np.cumsum(b)]))
    middle = np.concatenate([levels[:1] / 2, (levels[1:] + levels[:-1]) / 2])
    i = np.minimum(np.searchsorted(np.cumsum(a), middle), len(a) - 1)
    j = np.minimum(np.searchsorted(np.cumsum(b), middle), len(b) - 1)
    both = np.concatenate([i * len(b) + j, np.minimum(i + 1, len(a) - 1) * len(b) + j])
    return np.unique(both)


def _plan(
    problem: Problem, rows: Tensor, columns: Tensor, master: _Master, dual: Tensor, rounds: int, converged: bool
) -> SparsePlan:
    """Translate the program's solution back to the user's points; massless columns get the conjugate potential."""
    keep = master.mass > 1e-14
    i, j = np.divmod(master.edges[keep], master.cost.shape[1])
    device = problem.a.device
    i, j = rows[torch.from_numpy(i).to(device)], columns[torch.from_numpy(j).to(device)]
    mass = torch.from_numpy(master.mass[keep]).to(device=device, dtype=problem.a.dtype)
    cost = problem.dense().double()
    f = (cost[:, columns] - dual).amin(1)
    g = (cost[rows] - f[rows, None]).amin(0).index_copy(0, columns, dual)
    return SparsePlan(problem, "exact", rounds, converged, i, j, mass, g, converged)
