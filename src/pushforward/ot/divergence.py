"""The Sinkhorn divergence: entropic transport without its bias."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.ot.entropic.choice import transform_of
from pushforward.ot.entropic.envelope import dual_value
from pushforward.ot.entropic.gibbs import Gibbs
from pushforward.ot.entropic.plan import EntropicPlan
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.marginals import KL, Exact
from pushforward.ot.problem import Array, Problem
from pushforward.ot.regularization import Relative
from pushforward.ot.solve import solve

__all__ = ["self_transport", "sinkhorn_divergence"]


def sinkhorn_divergence(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    cost: Cost = SquaredEuclidean(),
    epsilon: float | Relative,
    marginals: Exact | KL = Exact(),
    tolerance: float | None = None,
    max_iterations: int | None = None,
) -> Tensor:
    """How far the weights `a: (n,)` at `x: (n, d)` are from `b: (m,)` at `y: (m, d)`: zero where they are equal.

        S(a, b) = OT(a, b) - OT(a, a) / 2 - OT(b, b) / 2 + epsilon / 2 (sum a - sum b)^2,
        OT(a, b) = min over P of <P, C> + epsilon KL(P | a b^T)  [+ rho KL(P 1 | a) + rho KL(P^T 1 | b)]

    For the squared distance it is positive, convex in the weights of either side, and tends to W2^2 as epsilon falls
    and to the squared distance of the means as it grows. Differentiable in points and weights, first order: a loss
    for training. In units of the cost: `()`, or `(B,)` where points have a leading axis.

    Args:
        x: source points, `(n, d)` or `(B, n, d)`.
        y: target points, `(m, d)` or `(B, m, d)`.
        a: weights of `x`, uniform unless given.
        b: weights of `y`, uniform unless given.
        cost: symmetric, and `exp(-c / epsilon)` positive definite, or the divergence may be negative: the Euclidean
            distance to a power of at most two, for example, or `PNorm(1)`.
        epsilon: regularisation, in units of the cost.
        marginals: `Exact()`, or `KL(rho)` for measures of unlike mass.
        tolerance: L1 error of the marginals of each of the three problems; the divergence's own error is its square.
        max_iterations: sweeps for each problem.

    Raises `InputError` for input that `solve` refuses; warns with `ConvergenceWarning` where a tolerance was not met.
    Source: Feydy et al., *Interpolating between optimal transport and MMD using Sinkhorn divergences* (2019); for
    unlike masses Séjourné et al., *Sinkhorn divergences for unbalanced optimal transport* (2019).

    >>> x = torch.tensor([[0.0], [1.0]])
    >>> sinkhorn_divergence(x, x + 2, epsilon=0.1)
    tensor(4.)
    """
    _check(cost, epsilon, marginals)
    if tolerance is None:
        tolerance = 1e-4 if torch.as_tensor(x).dtype == torch.float32 else 1e-7
    plan = solve(
        x, y, a, b, cost=cost, epsilon=epsilon, marginals=marginals, tolerance=tolerance, max_iterations=max_iterations
    )
    assert isinstance(plan, EntropicPlan)  # what solve returns for an epsilon; narrows the type
    problem, epsilon = plan.problem.to(torch.float64), plan.epsilon
    between = dual_value(Gibbs(problem, epsilon, plan.row_potential, plan.column_potential))
    sides = replace(problem, b=problem.a, y=problem.x), replace(problem, a=problem.b, x=problem.y)
    within = [_within(side, epsilon, marginals, tolerance, max_iterations or 1000) for side in sides]
    masses = problem.a.sum(-1) - problem.b.sum(-1)
    return (between - (within[0] + within[1]) / 2 + epsilon / 2 * masses.square()).to(plan.problem.a.dtype)


def _check(cost: Cost, epsilon: float | Relative, marginals: Exact | KL) -> None:
    if not isinstance(cost, Cost):
        raise InputError("the Sinkhorn divergence needs a Cost between points: a matrix says nothing of inner costs")
    if not isinstance(epsilon, float | int | Relative):
        raise InputError(f"the Sinkhorn divergence needs a positive epsilon, in units of the cost, got {epsilon}")
    if not isinstance(marginals, Exact | KL) or (isinstance(marginals, KL) and isinstance(marginals.rho, Tensor)):
        raise InputError("the Sinkhorn divergence takes marginals=Exact(), or KL(rho) with one rho for all points")


def _within(problem: Problem, epsilon: float, rule: Exact | KL, tolerance: float, max_iterations: int) -> Tensor:
    """Return the optimal objective between a measure and itself."""
    inner = problem.detached()
    with torch.no_grad():
        transform = transform_of(inner, epsilon, torch.float64)
        f = self_transport(transform, inner.a, rule, tolerance=tolerance, max_iterations=max_iterations)
    return dual_value(Gibbs(problem, epsilon, f, f))


def self_transport(
    transform: SoftTransform, a: Tensor, rule: Exact | KL = Exact(), *, tolerance: float, max_iterations: int
) -> Tensor:
    """Return the potential `f: (..., n)` of a measure's plan onto itself, `a_i a_j exp((f_i + f_j - C_ij) / epsilon)`.

    Iterates `f <- (f + T f) / 2` with the soft conjugate T: for a positive definite kernel every step at least halves
    the error, in the end, whatever epsilon. Stops when the L1 error of the marginals, both sides summed, is within
    `tolerance`; warns with `ConvergenceWarning` where `max_iterations` did not suffice. Source: Feydy et al. (2019),
    section 3.
    """
    f, iterations = torch.zeros_like(a), 0
    best, error = _improve(transform, a, rule, f)
    while error > tolerance and iterations < max_iterations:
        f, iterations = (f + best) / 2, iterations + 1
        best, error = _improve(transform, a, rule, f)
    if not error <= tolerance:
        warnings.warn(
            f"transport of a measure onto itself stopped after {iterations} iterations with a marginal error of "
            f"{error:.2e}, wanted {tolerance:.2e}: raise max_iterations, epsilon ({transform.epsilon:g}) or tolerance",
            ConvergenceWarning,
            stacklevel=4,
        )
    return torch.where(a > 0, f, best)


def _improve(transform: SoftTransform, a: Tensor, rule: Exact | KL, f: Tensor) -> tuple[Tensor, float]:
    """Return the best potential against `f`, and the L1 error of the plan of `f` with itself."""
    t, rho = transform.rows(f), rule.rho if isinstance(rule, KL) else math.inf
    sums, wanted = ((f - t) / transform.epsilon).exp(), (-f / rho).exp()
    return t / (1 + transform.epsilon / rho), 2 * float((a * (sums - wanted)).abs().sum(-1).max())
