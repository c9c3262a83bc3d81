"""One function for every discrete transport problem."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError, nearest
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.ot.assignment import approximate_assignment, exact_assignment
from pushforward.ot.entropic import sinkhorn
from pushforward.ot.linear_program import linear_program
from pushforward.ot.plan import Plan
from pushforward.ot.problem import Problem, pose

__all__ = ["Method", "solve"]

Method: TypeAlias = Literal["auto", "assignment", "approximate", "exact", "sinkhorn"]
"""Solvers of `solve`; `auto` picks among the exact ones, or `sinkhorn` where `epsilon` is given."""

_METHODS = ("auto", "assignment", "approximate", "exact", "sinkhorn")


@torch.no_grad()
def solve(
    x: Tensor | np.ndarray | list | None = None,
    y: Tensor | np.ndarray | list | None = None,
    a: Tensor | np.ndarray | list | None = None,
    b: Tensor | np.ndarray | list | None = None,
    *,
    cost: Cost | Tensor = SquaredEuclidean(),
    epsilon: float | None = None,
    method: Method = "auto",
    tolerance: float | None = None,
    max_iterations: int | None = None,
) -> Plan:
    """Find the cheapest way to move the weights `a: (n,)` at `x: (n, *event)` onto `b: (m,)` at `y: (m, *event)`.

        minimise <P, C> + epsilon KL(P | a b^T)   over   P >= 0,  P 1 = a,  P^T 1 = b

    Weights are uniform and `y` is `x` unless given; `cost` may be the matrix C itself, `(n, m)`. Methods:

    - `assignment`: the optimal permutation (equal sizes, uniform weights);
    - `approximate`: a nearly optimal permutation, sooner (the same problems);
    - `exact`: the optimal plan for any weights, a linear program; `tolerance` bounds the violation of the dual,
      relative to the cost's spread;
    - `sinkhorn`: the entropic plan for `epsilon > 0`; `tolerance` bounds the L1 error of the marginals (by default
      1e-6, and 1e-4 in float32).

    Nothing is differentiable, and the cost matrix is held in memory. Raises `InputError` for bad input and for
    options without effect; warns with `ConvergenceWarning` where the tolerance was not reached.

    >>> plan = solve(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.5], [0.5]]))
    >>> plan.value, plan.permutation
    (tensor(0.2500), tensor([1, 0]))
    """
    _check_options(method, epsilon, tolerance, max_iterations)
    problem = pose(x, y, a, b, cost)
    name = _choose(problem, method, epsilon)
    if name in ("assignment", "approximate"):
        _check_assignment(problem, name, tolerance, max_iterations)
        return exact_assignment(problem) if name == "assignment" else approximate_assignment(problem)
    if name == "exact":
        return linear_program(
            problem, 1e-9 if tolerance is None else tolerance, 100 if max_iterations is None else max_iterations
        )
    default = 1e-4 if problem.a.dtype == torch.float32 else 1e-6
    assert epsilon is not None  # checked above; narrows the type
    return sinkhorn(
        problem,
        epsilon,
        default if tolerance is None else tolerance,
        10_000 if max_iterations is None else max_iterations,
    )


def _check_options(method: str, epsilon: float | None, tolerance: float | None, max_iterations: int | None) -> None:
    if method not in _METHODS:
        raise InputError(f"solve has no method {method!r}{nearest(method, _METHODS)}")
    if epsilon is not None and not 0 < epsilon < float("inf"):
        raise InputError(f"epsilon must be positive and finite, got {epsilon}: leave it out for an exact plan")
    if method == "sinkhorn" and epsilon is None:
        raise InputError("method='sinkhorn' needs epsilon, in units of the cost")
    if method not in ("auto", "sinkhorn") and epsilon is not None:
        raise InputError(f"epsilon has no effect with method={method!r}: leave it out, or use method='sinkhorn'")
    if tolerance is not None and not 0 < tolerance < 1:
        raise InputError(f"tolerance must lie between 0 and 1, got {tolerance}")
    if max_iterations is not None and max_iterations < 1:
        raise InputError(f"max_iterations must be at least 1, got {max_iterations}")


def _choose(problem: Problem, method: str, epsilon: float | None) -> str:
    if method != "auto":
        return method
    if epsilon is not None:
        return "sinkhorn"
    return "assignment" if problem.is_assignment else "exact"


def _check_assignment(problem: Problem, name: str, tolerance: float | None, max_iterations: int | None) -> None:
    n, m = problem.shape
    if not problem.is_assignment:
        what = "unequal weights" if n == m else f"{n} and {m} points"
        raise InputError(
            f"method={name!r} needs as many points on either side, of equal weight, got {what}: use method='exact'"
        )
    if tolerance is not None or max_iterations is not None:
        raise InputError(
            f"tolerance and max_iterations have no effect on an assignment (method={name!r}): leave them out"
        )
