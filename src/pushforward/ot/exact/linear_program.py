"""Exact transport for any weights: a linear program on few edges that grows until the dual certifies it on all."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.ot.exact.candidates import cheap_edges, part, violated
from pushforward.ot.exact.certificate import column_conjugate, held, row_conjugate
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.pricing import quick_prices
from pushforward.ot.exact.primal_dual import Edges
from pushforward.ot.problem import Problem

__all__ = ["linear_program"]

ENTRANTS = 8
"""Violated edges of a row that may enter the program in a round."""

Values = NDArray[np.float64]


def linear_program(problem: Problem, tolerance: float, max_rounds: int) -> SparsePlan:
    """Minimise `<P, C>` exactly for any weights.

    A quick entropic ladder prices all edges; HiGHS solves the program on the cheapest few of every row and column
    (and a staircase that makes it feasible); its dual potentials then price all edges again, and violated ones enter.
    When none is violated by more than `tolerance` times the spread of the cost, the plan is optimal among all plans.
    Points without mass take no part.

    Warns with `ConvergenceWarning` when `max_rounds` rounds did not suffice.
    """
    whole = held(problem)
    rows, columns = problem.a.nonzero()[:, 0], problem.b.nonzero()[:, 0]
    massive = part(whole, rows, columns)
    a, b = massive.a.double(), massive.b.double()
    massive = replace(massive, a=a / a.sum(), b=b / b.sum())
    edges, mass, dual, rounds, violation = _rounds(massive, tolerance, max_rounds)
    if violation > tolerance:
        warnings.warn(
            f"the exact solver stopped after {rounds} rounds with the dual violated by "
            f"{violation:.2e} of the cost's spread, wanted {tolerance:.2e}: raise max_iterations",
            ConvergenceWarning,
            stacklevel=3,
        )
    keep = mass > 1e-14
    i, j, moved = (torch.from_numpy(values[keep]).to(a.device) for values in (edges.i, edges.j, mass))
    optimal = violation <= tolerance
    return SparsePlan(
        problem, "exact", rounds, optimal, rows[i], columns[j], moved.to(problem.a.dtype),
        _extended(whole, columns, dual), optimal,
    )  # fmt: skip


def _rounds(problem: Problem, tolerance: float, max_rounds: int) -> tuple[Edges, Values, Tensor, int, float]:
    """Solve and enlarge until the dual holds on all edges.

    Returns the edges, their masses, the column potential, the number of rounds, and the worst violation in units of
    the cost's spread.
    """
    g = quick_prices(problem)
    f = row_conjugate(problem, g)
    spread = _spread(problem, g)
    edges = cheap_edges(problem, g).joined(_staircase(problem))
    count = 0
    while True:
        count += 1
        reduced = (edges.cost - f.cpu().numpy()[edges.i] - g.cpu().numpy()[edges.j]) / spread
        mass, f_step, g_step = _solve(replace(edges, cost=reduced), problem.a.cpu().numpy(), problem.b.cpu().numpy())
        f, g = (old + spread * torch.from_numpy(step).to(old) for old, step in ((f, f_step), (g, g_step)))
        missing = violated(problem, f, g, ENTRANTS, tolerance * spread)
        excess = f.cpu().numpy()[missing.i] + g.cpu().numpy()[missing.j] - missing.cost
        if len(excess) == 0 or count == max_rounds:
            return edges, mass, g, count, float(excess.max(initial=0.0)) / spread
        edges = edges.joined(missing)


def _solve(edges: Edges, a: Values, b: Values) -> tuple[Values, Values, Values]:
    """Return the masses of the edges and the potentials; the last constraint is implied and left out.

    The program sees masses of about one.
    """
    (n, m), k = edges.shape, np.arange(len(edges.i))
    ends = np.concatenate([edges.i, n + edges.j])
    matrix = coo_array((np.ones(2 * len(k)), (ends, np.concatenate([k, k]))), shape=(n + m, len(k))).tocsr()
    size = max(n, m)
    found = linprog(
        edges.cost, A_eq=matrix[:-1], b_eq=size * np.concatenate([a, b])[:-1], method="highs-ds",
        options={"presolve": False, "dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10},
    )  # fmt: skip
    if found.x is None:
        raise RuntimeError(f"HiGHS could not solve the transport program: {found.message}")
    dual = np.append(found.eqlin.marginals, 0.0)
    return np.maximum(found.x, 0) / size, dual[:n], dual[n:]


def _spread(problem: Problem, g: Tensor) -> float:
    """Return the standard deviation of the costs less the potential, estimated from some rows; one if it is zero."""
    sample = problem.rows(slice(None, None, max(1, problem.shape[0] // 64))).double() - g
    return float(sample.std(correction=0)) or 1.0


def _staircase(problem: Problem) -> Edges:
    """Return the edges of the north-west corner plan, which is feasible for any weights."""
    ends = torch.cat([problem.a.cumsum(0)[:-1], problem.b.cumsum(0)[:-1]])
    down = ends.argsort(stable=True) < len(problem.a) - 1
    zero = torch.zeros(1, dtype=torch.long, device=ends.device)
    i, j = (torch.cat([zero, steps.cumsum(0)]) for steps in (down, ~down))
    cost = problem.aligned(i, j).double()
    return Edges.of(problem.shape, *(values.cpu().numpy() for values in (i, j, cost)))


def _extended(whole: Problem, columns: Tensor, dual: Tensor) -> Tensor:
    """Return the potential of all columns: those without mass get the conjugate of the conjugate."""
    known = torch.full(whole.b.shape, -torch.inf, dtype=torch.float64, device=dual.device).index_copy(0, columns, dual)
    if len(columns) == len(known):
        return known
    return column_conjugate(whole, row_conjugate(whole, known)).index_copy(0, columns, dual)
