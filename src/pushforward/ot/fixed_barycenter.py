"""Barycentres of histograms on fixed points, by iterative Bregman projections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.ot.barycenter import Barycenter, shares, warn_unless
from pushforward.ot.entropic.transform import DenseTransform
from pushforward.ot.problem import Problem

__all__ = ["fixed_barycenter"]


@torch.no_grad()
def fixed_barycenter(
    histograms: Tensor,
    weights: Tensor | Sequence[float] | None = None,
    *,
    x: Tensor | None = None,
    cost: Cost | Tensor = SquaredEuclidean(),
    epsilon: float,
    debiased: bool = False,
    tolerance: float = 1e-6,
    max_iterations: int = 10_000,
) -> Barycenter:
    """Find the histogram q on fixed points whose average entropic distance to the given ones is least.

        minimise  sum_k lambda_k min { <P_k, C> + epsilon KL(P_k | u b_k^T) : P_k 1 = q, P_k^T 1 = b_k }   over q

    with u uniform: iterative Bregman projections, in potentials. The entropy blurs q: between Gaussians of one variance
    on the line, with squared distances, q has `epsilon / 2` more. `debiased` solves for the barycentre of the Sinkhorn
    divergence instead, which has not (costs between the points themselves are then needed).

    Args:
        histograms: b_k, `(K, m)`, each of sum one; a leading axis `(B, K, m)` counts independent problems.
        weights: lambda, `(K,)`, of sum one; equal if not given.
        x: the common points `(m, d)`, or
        cost: the costs `(n, m)` from the points of q to those of the histograms.
        epsilon: in units of the cost.
        tolerance: largest L1 distance between q and the sums of a plan.

    Returns q as `weights: (n,)` or `(B, n)`. Raises `InputError` for bad input; warns with `ConvergenceWarning`.
    Sources: Benamou et al. (2015), *Iterative Bregman projections for regularized transportation problems*; Janati,
    Cuturi and Gramfort (2020), *Debiased Sinkhorn barycenters*, algorithm 1.
    """
    C = _costs(histograms, x, cost, epsilon, debiased)
    share = shares(weights, histograms.shape[-2], histograms)
    state, error, done = _Projections(C, histograms, share, epsilon, debiased), math.inf, 0
    while error > tolerance and done < max_iterations:
        error, done = state.step(), done + 1
    warn_unless(error <= tolerance, "fixed_barycenter", done, "a marginal error", error, tolerance)
    return Barycenter(x, state.histogram, state.value(), done, error <= tolerance)


class _Projections:
    """Potentials of the plans from q, which has the density `exp(level / epsilon)`, to all histograms.

    `t` are the soft conjugates of g; `blur` is epsilon times the logarithm of the debiasing factor.
    """

    def __init__(self, C: Tensor, histograms: Tensor, share: Tensor, epsilon: float, debiased: bool) -> None:
        n = len(C)
        self.C, self.b, self.share, self.epsilon = C, histograms, share.unsqueeze(-1), epsilon
        self.a = C.new_full((n,), 1 / n)
        uniform = self.a.expand(*histograms.shape[:-1], n)
        self.plans = DenseTransform(Problem(uniform, histograms, C), epsilon)
        own = Problem(uniform[..., 0, :], uniform[..., 0, :], C)
        self.own = DenseTransform(own, epsilon) if debiased else None
        self.blur = self.level = torch.zeros_like(uniform[..., 0, :])
        self.f, self.g = torch.zeros_like(uniform), torch.zeros_like(histograms)
        self.t = self.plans.rows(self.g)

    def step(self) -> float:
        """Project on the plans with a common q, then on those with the right columns; return the error of the rows."""
        self.level = self.blur - (self.share * self.t).sum(-2)
        self.f = self.t + self.level.unsqueeze(-2)
        self.g = self.plans.columns(self.f)
        self.t = self.plans.rows(self.g)
        if self.own is not None:
            self.blur = (self.blur + self.level + self.own.rows(self.blur)) / 2
        sums, q = ((self.f - self.t) / self.epsilon).exp(), (self.level / self.epsilon).exp()
        return float((self.a * (sums - q.unsqueeze(-2)).abs()).sum(-1).max())

    @property
    def histogram(self) -> Tensor:
        """Return q, `(..., n)`."""
        return torch.softmax(self.level / self.epsilon, -1)

    def value(self) -> Tensor:
        """Return the average transport cost, `(...)`."""
        exponent = (self.f.unsqueeze(-1) + self.g.unsqueeze(-2) - self.C) / self.epsilon
        plan = exponent.exp() * self.b.unsqueeze(-2)
        return (self.share * self.a * (plan * self.C).sum(-1)).sum((-2, -1))


def _costs(histograms: Tensor, x: Tensor | None, cost: Cost | Tensor, epsilon: float, debiased: bool) -> Tensor:
    """Check the input of `fixed_barycenter` and return the costs `(n, m)`."""
    if histograms.ndim not in (2, 3) or not histograms.is_floating_point():
        raise InputError(f"histograms has shape {tuple(histograms.shape)}, wanted floating (K, m) or (B, K, m)")
    if bool((histograms < 0).any()) or float((histograms.sum(-1) - 1).abs().max()) > 1e-4:
        raise InputError("histograms must be non-negative and sum to one along their last axis")
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon must be positive and finite, got {epsilon}")
    if isinstance(cost, Tensor) and x is None:
        C = cost
    elif isinstance(cost, Cost) and x is not None:
        C = cost.pairwise(x, x)
    else:
        raise InputError("fixed_barycenter takes the common points x (and a Cost), or the matrix of costs: give one")
    if C.ndim != 2 or C.shape[1] != histograms.shape[-1] or C.dtype != histograms.dtype:
        raise InputError(
            f"histograms is {histograms.dtype} of {histograms.shape[-1]} points, but the costs are {C.dtype} of shape "
            f"{tuple(C.shape)}: both must agree"
        )
    if debiased and C.shape[0] != C.shape[1]:
        raise InputError("a debiased barycentre lives on the points of the histograms: the costs must be square")
    return C
