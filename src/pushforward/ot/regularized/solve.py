"""Transport with a quadratic penalty, and with at most k sources for each target."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.problem import Problem
from pushforward.ot.regularization import KSparse, Quadratic, Regularization
from pushforward.ot.regularized.ascent import climb
from pushforward.ot.regularized.dual import FullDual, SemiDual
from pushforward.ot.regularized.plan import RegularizedPlan
from pushforward.ot.regularized.polish import polish
from pushforward.ot.regularized.semismooth import QuadraticDual, Stand
from pushforward.ot.regularized.ties import settle

__all__ = ["regularized_transport"]

NEAR = 1e-3
"""Error of the sums without cardinality from which to go on with it."""

FLAT = 1e-10
"""Gain, in units of the cost's spread, below which a dual with kinks has been climbed."""


@dataclass(frozen=True)
class _Solution:
    """Potentials, the value of the dual there, the plan's entries, the L1 error of its sums, and the iterations."""

    f: Tensor
    g: Tensor
    value: float
    i: Tensor
    j: Tensor
    mass: Tensor
    error: float
    iterations: int


@torch.no_grad()
def regularized_transport(
    problem: Problem, regularization: Regularization, tolerance: float, max_iterations: int
) -> RegularizedPlan:
    """Minimise `<P, C> + gamma/2 sum P^2` over the plans of a balanced problem, with at most k non-zeros per column.

    The dual of `Quadratic` is climbed by semi-smooth Newton steps, along a ladder of penalties where gamma is small.
    From there `KSparse` climbs the n potentials of its semi-dual by L-BFGS, whose columns sum to b exactly (or all
    n + m, with `dual="full"`); every evaluation is one pass over the few entries that can carry mass. Solved in
    float64, returned in the dtype of the problem. `tolerance` bounds the L1 error of the plan's sums.

    With few non-zeros allowed the dual has kinks, and there need be no plan without a gap: the row sums then stay away
    from `a`, by `plan.row_residual`, however ties are broken. Raises `InputError` for marginals that are not `Exact`
    and for a leading axis; warns with `ConvergenceWarning` where the tolerance was not reached.

    Source: Blondel et al., *Smooth and sparse optimal transport* (2018); Lorenz et al., *Quadratically regularized
    optimal transport* (2021); Liu et al., *Sparsity-constrained optimal transport* (2023).
    """
    if not problem.balanced or problem.batch:
        raise InputError("a quadratic or k-sparse penalty needs exact marginals and one problem at a time")
    rows, columns = problem.a.nonzero()[:, 0], problem.b.nonzero()[:, 0]
    a, b = problem.a[rows].double(), problem.b[columns].double()
    cost, (n, m) = problem.dense().double(), problem.shape
    part = cost if (len(rows), len(columns)) == (n, m) else cost[rows][:, columns]
    found = _maximise(part, a / a.sum(), b / b.sum(), regularization, tolerance, max_iterations)
    f, g = _potentials(problem, cost, rows, columns, found)
    plan = RegularizedPlan(
        problem, "k-sparse" if isinstance(regularization, KSparse) else "quadratic", found.iterations,
        found.error <= tolerance, i=rows[found.i], j=columns[found.j], mass=found.mass.to(problem.a.dtype), dual=g,
        penalty=regularization, row_potential=f, column_potential=g, dual_value=found.value,
    )  # fmt: skip
    if not plan.converged:
        _warn(plan, tolerance)
    return plan


def _maximise(
    cost: Tensor, a: Tensor, b: Tensor, penalty: Regularization, tolerance: float, max_iterations: int
) -> _Solution:
    """Solve without cardinality, and from there with it."""
    goal = tolerance if isinstance(penalty, Quadratic) else max(tolerance, NEAR)
    stand, steps = QuadraticDual(cost, a, b).maximise(penalty.gamma, goal, max_iterations)
    if isinstance(penalty, KSparse):
        return _sparse(cost, a, b, stand, penalty, tolerance, max_iterations, steps)
    i, j = stand.excess.nonzero(as_tuple=True)
    mass = stand.excess[i, j] / penalty.gamma
    return _Solution(stand.f, stand.g, stand.value, i, j, mass, stand.error, steps)


def _sparse(
    cost: Tensor, a: Tensor, b: Tensor, start: Stand, penalty: KSparse, tolerance: float, max_iterations: int, done: int
) -> _Solution:
    """Climb from the potentials without cardinality."""
    unit = float(cost.std(correction=0)) or 1.0
    semi = SemiDual(cost, a, b, penalty.gamma, penalty.k)
    dual, variables = semi, start.f
    if penalty.dual == "full":
        dual, variables = FullDual(cost, a, b, penalty.gamma, penalty.k), torch.cat([start.f, start.g])
    point, steps = climb(dual, variables, unit, tolerance=tolerance, max_iterations=max_iterations, flat=FLAT)
    point, more = polish(semi, semi(point.f), penalty.gamma, tolerance)
    if float(point.gradient.abs().sum()) > tolerance:
        point = settle(point, cost, a, b, penalty.gamma, min(penalty.k, len(a)), unit)
    j, place = (point.mass > 0).nonzero(as_tuple=True)
    error = float(point.gradient.abs().sum())
    return _Solution(
        point.f, point.g, float(point.value), point.index[j, place], j, point.mass[j, place], error, done + steps + more
    )


def _potentials(
    problem: Problem, cost: Tensor, rows: Tensor, columns: Tensor, found: _Solution
) -> tuple[Tensor, Tensor]:
    """Return both potentials, centred; points without mass get the largest with which they take none."""
    f, g = found.f, found.g
    if (len(f), len(g)) != problem.shape:
        f = (cost[:, columns] - g).amin(1).index_copy(0, rows, f)
        g = (cost - f[:, None]).amin(0).index_copy(0, columns, g)
    shift = (problem.a.double() @ f - problem.b.double() @ g) / 2
    return f - shift, g + shift


def _warn(plan: RegularizedPlan, tolerance: float) -> None:
    few = isinstance(plan.penalty, KSparse)
    advice = "allow more non-zeros, or repair(plan)" if few else "raise max_iterations or gamma"
    warnings.warn(
        f"the {plan.method} plan stopped after {plan.iterations} iterations with a marginal error of "
        f"{plan.marginal_error:.2e}, wanted {tolerance:.2e}: {advice}",
        ConvergenceWarning,
        stacklevel=3,
    )
