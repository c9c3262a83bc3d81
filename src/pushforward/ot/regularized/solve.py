"""Transport with a quadratic penalty, and with at most k sources for each target."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.problem import Problem
from pushforward.ot.regularization import KSparse, Quadratic, Regularization
from pushforward.ot.regularized.ascent import climb
from pushforward.ot.regularized.dual import FullDual, Point, SemiDual
from pushforward.ot.regularized.plan import RegularizedPlan
from pushforward.ot.regularized.polish import polish
from pushforward.ot.regularized.ties import settle

__all__ = ["regularized_transport"]

FLAT = 1e-10
"""Gain, in units of the cost's spread, below which a dual with kinks has been climbed."""


@torch.no_grad()
def regularized_transport(
    problem: Problem, regularization: Regularization, tolerance: float, max_iterations: int
) -> RegularizedPlan:
    """Minimise `<P, C> + gamma/2 sum P^2` over the plans of a balanced problem, with at most k non-zeros per column.

    The dual is climbed by L-BFGS: all n + m potentials of `Quadratic`, where every evaluation is one pass over the few
    entries that can carry mass; for `KSparse` from there the n potentials of the semi-dual, whose columns sum to b
    exactly (or once more all of them, with `dual="full"`). Solved in float64, returned in the dtype of the problem.
    `tolerance` bounds the L1 error of the plan's sums.

    With few non-zeros allowed the dual has kinks, and there need be no plan without a gap: the row sums then stay away
    from `a`, by `plan.row_residual`, however ties are broken. Raises `InputError` for marginals that are not `Exact`
    and for a leading axis; warns with `ConvergenceWarning` where the tolerance was not reached.

    Source: Blondel et al., *Smooth and sparse optimal transport* (2018); Liu et al., *Sparsity-constrained optimal
    transport* (2023).
    """
    if not problem.balanced or problem.batch:
        raise InputError("a quadratic or k-sparse penalty needs exact marginals and one problem at a time")
    rows, columns = problem.a.nonzero()[:, 0], problem.b.nonzero()[:, 0]
    a, b = problem.a[rows].double(), problem.b[columns].double()
    cost = problem.dense()[rows][:, columns].double()
    point, iterations = _maximise(cost, a / a.sum(), b / b.sum(), regularization, tolerance, max_iterations)
    plan = _plan(problem, regularization, rows, columns, point, iterations, tolerance)
    if not plan.converged:
        _warn(plan, tolerance)
    return plan


def _maximise(
    cost: Tensor, a: Tensor, b: Tensor, penalty: Regularization, tolerance: float, max_iterations: int
) -> tuple[Point, int]:
    """Solve without cardinality, and from there with it."""
    half, unit = cost.mean() / 2, float(cost.std(correction=0)) or 1.0
    start = torch.cat([cost.mean(1) - half, cost.mean(0) - half])
    free = FullDual(cost, a, b, penalty.gamma, None)
    point, climbed = climb(free, start, unit, tolerance=tolerance, max_iterations=max_iterations)
    if isinstance(penalty, Quadratic):
        point, steps = polish(free, point, penalty.gamma, tolerance)
        return point, climbed + steps
    semi, full = (dual(cost, a, b, penalty.gamma, penalty.k) for dual in (SemiDual, FullDual))
    dual, start = (full, torch.cat([point.f, point.g])) if penalty.dual == "full" else (semi, point.f)
    point, more = climb(dual, start, unit, tolerance=tolerance, max_iterations=max_iterations, flat=FLAT)
    point, steps = polish(semi, semi(point.f), penalty.gamma, tolerance)
    if float(point.gradient.abs().sum()) > tolerance:
        point = settle(point, cost, a, b, penalty.gamma, min(penalty.k, len(a)), unit)
    return point, climbed + more + steps


def _plan(
    problem: Problem, penalty: Regularization, rows: Tensor, columns: Tensor, point: Point, iterations: int,
    tolerance: float,
) -> RegularizedPlan:  # fmt: skip
    """Translate the solution back to the user's points, and say how well the sums were met."""
    j, place = (point.mass > 0).nonzero(as_tuple=True)
    f, g = _potentials(problem, rows, columns, point)
    error = float(point.gradient.abs().sum())
    return RegularizedPlan(
        problem, "k-sparse" if isinstance(penalty, KSparse) else "quadratic", iterations, error <= tolerance,
        i=rows[point.index[j, place]], j=columns[j], mass=point.mass[j, place].to(problem.a.dtype), dual=g,
        penalty=penalty, row_potential=f, column_potential=g, dual_value=float(point.value),
    )  # fmt: skip


def _potentials(problem: Problem, rows: Tensor, columns: Tensor, point: Point) -> tuple[Tensor, Tensor]:
    """Return both potentials, centred; points without mass get the largest with which they take none."""
    cost = problem.dense().double()
    f = (cost[:, columns] - point.g).amin(1).index_copy(0, rows, point.f)
    g = (cost - f[:, None]).amin(0).index_copy(0, columns, point.g)
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
