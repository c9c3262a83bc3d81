"""One function for every discrete transport problem."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.errors import InputError, nearest
from pushforward.geometry import Cost, PNorm, SquaredEuclidean
from pushforward.ot.batch_plan import BatchPlan
from pushforward.ot.entropic.solver import entropic
from pushforward.ot.exact.assignment import exact_assignment, exact_assignments
from pushforward.ot.exact.one_dimensional import monotone
from pushforward.ot.exact.partial import partial_transport
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.prices import SMALL
from pushforward.ot.exact.transport import exact_transport
from pushforward.ot.marginals import KL, Exact, Marginal
from pushforward.ot.plan import Plan
from pushforward.ot.problem import Array, Problem, pose
from pushforward.ot.regularization import Regularization, Relative
from pushforward.ot.regularized.solve import regularized_transport

__all__ = ["Method", "solve"]

Method: TypeAlias = Literal["auto", "assignment", "exact", "sinkhorn", "newton"]
"""Solvers of `solve`; `auto` picks one by what is asked for, by size and by dimension."""

_EXACT = ("assignment", "exact")
_ENTROPIC = ("sinkhorn", "newton")
_METHODS = ("auto", *_EXACT, *_ENTROPIC)


def solve(
    x: Array | None = None,
    y: Array | None = None,
    a: Array | None = None,
    b: Array | None = None,
    *,
    cost: Cost | Tensor = SquaredEuclidean(),
    epsilon: float | Relative | None = None,
    regularization: Regularization | None = None,
    marginals: Marginal | tuple[Marginal, Marginal] = Exact(),
    mass: float | None = None,
    method: Method = "auto",
    tolerance: float | None = None,
    max_iterations: int | None = None,
    init: Tensor | None = None,
) -> Plan:
    """Find the cheapest way to move the weights `a: (n,)` at `x: (n, d)` onto `b: (m,)` at `y: (m, d)`.

        minimise <P, C> + epsilon KL(P | a b^T)   over   P >= 0,  P 1 = a,  P^T 1 = b

    Weights are uniform and `y` is `x` unless given; `cost` may be the matrix C itself, `(n, m)`. A leading axis counts
    independent problems: `x: (B, n, d)`, or a cost `(B, n, m)`. What is minimised, and over what:

    - nothing else given: the exact plan. `method="assignment"` is the optimal permutation (equal sizes, uniform
      weights), `"exact"` takes any weights.
    - `epsilon`, in units of the cost, or `Relative(0.05, "mean")`: the entropic plan. `"sinkhorn"` sweeps; `"newton"`
      takes sparse Newton steps on a truncated kernel, fast where epsilon is small. `init: (m,)` is a column potential
      to start from.
    - `regularization=Quadratic(gamma)` adds `gamma / 2 sum P^2` instead: few entries; `KSparse(k, gamma)` allows at
      most k sources for each target.
    - `marginals` says how far the sums may stray from the weights, for both sides or as a pair (source, target):
      `Exact()`; `KL(rho)`, with epsilon (unbalanced transport); `AtMost()` together with the `mass` to move (partial
      transport, exact or entropic).

    `method="auto"` chooses by what is asked, size and density; `plan.method` tells. `tolerance` bounds the L1 error of
    the marginals of all but exact plans (by default 1e-6, and 1e-4 for float32). Entropic plans differentiate:
    `plan.objective` by the envelope theorem, everything else implicitly; of a quadratic or k-sparse plan only
    `plan.objective` does.

    Raises `InputError` for bad input and for options without effect; warns with `ConvergenceWarning` where the
    tolerance was not reached.

    >>> plan = solve(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.5], [0.5]]))
    >>> plan.value, plan.permutation
    (tensor(0.2500), tensor([1, 0]))
    """
    asked = _Asked(epsilon, regularization, method, tolerance, max_iterations, init)
    asked.check()
    rules = marginals if isinstance(marginals, tuple) else (marginals, marginals)
    problem = pose(x, y, a, b, cost, rules, mass)
    with torch.no_grad():
        return _solve(problem, asked)


@dataclass(frozen=True)
class _Asked:
    """What was asked of the solver, checked as far as it can be without the problem."""

    epsilon: float | Relative | None
    regularization: Regularization | None
    method: Method
    tolerance: float | None
    max_iterations: int | None
    init: Tensor | None

    def check(self) -> None:
        """Raise `InputError` for options that are impossible or have no effect."""
        if self.method not in _METHODS:
            raise InputError(f"solve has no method {self.method!r}{nearest(self.method, _METHODS)}")
        if isinstance(self.epsilon, float | int) and not 0 < self.epsilon < math.inf:
            raise InputError(f"epsilon must be positive and finite, got {self.epsilon}: leave it out for an exact plan")
        if self.method in _ENTROPIC and self.epsilon is None:
            raise InputError(f"method={self.method!r} needs epsilon, in units of the cost")
        if self.method not in ("auto", *_ENTROPIC) and self.epsilon is not None:
            raise InputError(
                f"epsilon has no effect with method={self.method!r}: leave it out, or use method='sinkhorn'"
            )
        if self.regularization is not None and (self.epsilon is not None or self.method != "auto"):
            raise InputError("regularization chooses its own solver: leave out epsilon and method")
        if self.init is not None and self.epsilon is None:
            raise InputError("init starts an entropic solver: give epsilon, or leave it out")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise InputError(f"tolerance must lie between 0 and 1, got {self.tolerance}")
        exact = self.epsilon is None and self.regularization is None
        if exact and (self.tolerance is not None or self.max_iterations is not None):
            raise InputError(
                "tolerance and max_iterations have no effect on an exact plan: leave them out, or give epsilon"
            )
        if self.max_iterations is not None and self.max_iterations < 1:
            raise InputError(f"max_iterations must be at least 1, got {self.max_iterations}")


def _solve(problem: Problem, asked: _Asked) -> Plan:
    if asked.epsilon is not None:
        return _entropic(problem, asked)
    if any(isinstance(rule, KL) for rule in problem.marginals):
        raise InputError("marginals=KL(...) needs epsilon, in units of the cost")
    if problem.batch:
        with torch.enable_grad():  # the parts keep the history of the whole
            return _each(problem, asked)
    return _solve_one(asked, problem)


def _each(problem: Problem, asked: _Asked) -> BatchPlan:
    """Solve the problems of the leading axis; exact solvers run without the interpreter lock."""
    small = asked.regularization is None and problem.mass is None and max(problem.shape) <= SMALL
    if small and asked.method != "exact" and problem.is_assignment:
        return exact_assignments(problem)
    parts = [problem.single(k) for k in range(problem.batch[0])]
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return BatchPlan.of(problem, list(pool.map(partial(_solve_one, asked), parts)))


def _solve_one(asked: _Asked, problem: Problem) -> Plan:
    with torch.no_grad():  # of each thread
        if asked.regularization is not None:
            return _regularized(problem, asked)
        return replace(_unregularized(problem.detached(), asked), problem=problem)


def _unregularized(problem: Problem, asked: _Asked) -> SparsePlan:
    """Return a plan of least cost, or nearly so: a vertex of the polytope."""
    if problem.mass is not None:
        return partial_transport(problem)
    if asked.method == "auto" and _on_a_line(problem):
        return monotone(problem)
    if asked.method == "assignment" or (asked.method == "auto" and problem.is_assignment):
        _check_assignment(problem, asked)
        return exact_assignment(problem)
    return exact_transport(problem)


def _on_a_line(problem: Problem) -> bool:
    """Whether sorting solves the problem: one dimension, and a cost convex in the difference."""
    convex = isinstance(problem.cost, SquaredEuclidean) or (isinstance(problem.cost, PNorm) and problem.cost.power >= 1)
    return convex and problem.points()[0].shape[-1] == 1


def _regularized(problem: Problem, asked: _Asked) -> Plan:
    assert asked.regularization is not None  # checked by the caller; narrows the type
    tolerance, limit = asked.tolerance or _tolerance(problem), asked.max_iterations or 2000
    return regularized_transport(problem, asked.regularization, tolerance, limit)


def _tolerance(problem: Problem) -> float:
    return 1e-4 if problem.a.dtype == torch.float32 else 1e-6


def _entropic(problem: Problem, asked: _Asked) -> Plan:
    epsilon = _resolve(asked.epsilon, problem)
    tolerance = asked.tolerance or _tolerance(problem)
    iteration = asked.method if asked.method == "sinkhorn" or asked.method == "newton" else "auto"
    return entropic(problem, epsilon, tolerance, asked.max_iterations or 10_000, iteration, asked.init)


def _resolve(epsilon: float | Relative | None, problem: Problem) -> float:
    """Return epsilon in units of the cost."""
    assert epsilon is not None  # checked by the caller; narrows the type
    if not isinstance(epsilon, Relative):
        return float(epsilon)
    blocks = [problem.rows(rows).double() for rows in problem.slices()]
    if epsilon.of == "max":
        return epsilon.factor * max(float(block.max()) for block in blocks)
    size = math.prod(problem.batch) * math.prod(problem.shape)
    mean = sum(float(block.sum()) for block in blocks) / size
    if epsilon.of == "mean":
        return epsilon.factor * mean
    return epsilon.factor * math.sqrt(sum(float((block - mean).square().sum()) for block in blocks) / size)


def _check_assignment(problem: Problem, asked: _Asked) -> None:
    name = "assignment" if asked.method == "auto" else asked.method
    n, m = problem.shape
    if not problem.is_assignment:
        what = "unequal weights" if n == m else f"{n} and {m} points"
        raise InputError(
            f"method={name!r} needs as many points on either side, of equal weight, got {what}: use method='exact'"
        )
