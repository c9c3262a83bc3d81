"""Entropic optimal transport by Sinkhorn's iteration."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.ot._scaling import Scaled, anneal, ladder, residual, scale
from pushforward.ot.entropic_plan import EntropicPlan
from pushforward.ot.problem import Problem

__all__ = ["sinkhorn"]


def sinkhorn(problem: Problem, epsilon: float, tolerance: float, max_iterations: int) -> EntropicPlan:
    """Minimise `<P, C> + epsilon KL(P | a b^T)` over the couplings of `a` and `b`.

    A ladder of decreasing regularisations (Schmitzer 2019) leads to `epsilon`; over-relaxed sweeps with absorbed
    potentials then run until the L1 error of the marginals is within `tolerance`. Float32 problems are solved in
    float64 where `epsilon` is below a thousandth of the largest cost. Points without mass take no part; their
    potentials are the soft conjugates.

    Warns with `ConvergenceWarning`, with the figures, when `max_iterations` sweeps did not suffice.
    """
    cost = problem.dense()
    if epsilon < 1e-3 * float(cost.abs().max()):
        cost = cost.double()
    a, b = problem.a.to(cost.dtype), problem.b.to(cost.dtype)
    keep_a, keep_b = a > 0, b > 0
    scaled = _solve(cost[keep_a][:, keep_b], a[keep_a], b[keep_b], epsilon, tolerance, max_iterations)
    f, g = _extend(cost, a, b, scaled, keep_b, epsilon)
    converged = scaled.error <= tolerance
    if not converged:
        warnings.warn(
            f"sinkhorn stopped after {scaled.iterations} iterations with a marginal error of {scaled.error:.2e}, "
            f"wanted {tolerance:.2e}: raise max_iterations, epsilon (now {epsilon:g}) or tolerance",
            ConvergenceWarning,
            stacklevel=3,
        )
    return EntropicPlan(problem, "sinkhorn", scaled.iterations, converged, epsilon, f, g)


def _solve(cost: Tensor, a: Tensor, b: Tensor, epsilon: float, tolerance: float, max_iterations: int) -> Scaled:
    g, spread = residual(cost)
    if epsilon < 0.25 * spread:
        rungs = max(2, round(torch.tensor(spread / epsilon).log2().item() / 2))
        g = anneal(cost, a, b, g, ladder(0.5 * spread, 2 * epsilon, rungs), 3)
    return scale(cost, a, b, g, epsilon, tolerance, max_iterations)


def _extend(
    cost: Tensor, a: Tensor, b: Tensor, scaled: Scaled, keep_b: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Give every point its potential: `f = -epsilon log sum_j b_j exp((g_j - C_j) / epsilon)`, and `g` likewise."""
    f = -epsilon * torch.logsumexp((scaled.g - cost[:, keep_b]) / epsilon + b[keep_b].log(), 1)
    if bool(keep_b.all()):
        return f, scaled.g
    g = -epsilon * torch.logsumexp((f[:, None] - cost) / epsilon + a.log()[:, None], 0)
    return f, torch.where(keep_b, torch.zeros_like(b).masked_scatter(keep_b, scaled.g), g)
