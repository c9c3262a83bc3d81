"""Wasserstein barycentres that average the maps to each law: of clouds, with free points, and of Gaussians."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.regularization import Relative
from pushforward.ot.solve import solve
from pushforward.symmetric import check_covariance, inverse_root, symmetric_root

__all__ = ["Barycenter", "bures_barycenter", "free_barycenter", "shares", "warn_unless"]


@dataclass(frozen=True, eq=False)
class Barycenter:
    """The law that is nearest to several others on average.

    `weights: (..., n)` at `points: (n, d)` (`None` where only costs were given); `value` is the average transport cost
    `sum_k lambda_k <P_k, C>`, `(...)`.
    """

    points: Tensor | None
    weights: Tensor
    value: Tensor
    iterations: int
    converged: bool


@torch.no_grad()
def free_barycenter(
    clouds: Sequence[Tensor],
    weights: Tensor | Sequence[float] | None = None,
    *,
    size: int | None = None,
    start: Tensor | None = None,
    masses: Sequence[Tensor] | None = None,
    epsilon: float | Relative | None = None,
    rounds: int = 100,
    tolerance: float = 1e-4,
    generator: torch.Generator | None = None,
) -> Barycenter:
    """Find the points whose average squared Wasserstein distance to the clouds is (locally) least.

        minimise  sum_k lambda_k W2(X, cloud_k)^2   over n points X of equal weight

    Each round replaces a point by the average of where the plans send it, `x_i <- sum_k lambda_k T_k(x_i)`; with exact
    plans the objective never rises. With `epsilon` the plans are entropic, and the result is shrunk.

    Args:
        clouds: each `(n_k, d)`.
        weights: lambda, one for each cloud, of sum one; equal if not given.
        size: number of points, drawn from all clouds to start with.
        start: the points to start from, `(n, d)`, instead.
        masses: weights of each cloud's points, `(n_k,)`.
        rounds: how many at most.
        tolerance: the root mean square step, relative to the spread of the points, at which the rounds end.
        generator: draws the start.

    Raises `InputError` unless exactly one of size and start is given, and for clouds that do not go together; warns
    with `ConvergenceWarning` where the rounds did not suffice. Source: Cuturi and Doucet (2014), *Fast computation of
    Wasserstein barycenters*; Álvarez-Esteban et al. (2016), *A fixed-point approach to barycenters*.
    """
    if not clouds:
        raise InputError("free_barycenter needs at least one cloud")
    share = shares(weights, len(clouds), clouds[0])
    given = [None] * len(clouds) if masses is None else masses
    x = _start(clouds, size, start, generator)
    step, done, value = math.inf, 0, x.new_zeros(())
    while step > tolerance and done < rounds:
        plans = [solve(x, cloud, b=mass, epsilon=epsilon) for cloud, mass in zip(clouds, given, strict=True)]
        moved = torch.stack([part * plan.barycentric_map() for part, plan in zip(share, plans, strict=True)]).sum(0)
        value = torch.stack([part * plan.value for part, plan in zip(share, plans, strict=True)]).sum(0)
        spread = (moved - moved.mean(0)).square().sum(-1).mean().clamp(min=torch.finfo(x.dtype).tiny)
        step, x, done = float(((moved - x).square().sum(-1).mean() / spread).sqrt()), moved, done + 1
    warn_unless(step <= tolerance, "free_barycenter", done, "a step", step, tolerance)
    return Barycenter(x, torch.full_like(x[:, 0], 1 / len(x)), value, done, step <= tolerance)


@torch.no_grad()
def bures_barycenter(
    covariances: Tensor,
    weights: Tensor | Sequence[float] | None = None,
    *,
    tolerance: float | None = None,
    max_iterations: int = 1000,
) -> Tensor:
    """Return the covariance of the Wasserstein barycentre of Gaussians; its mean is the average of their means.

        S = sum_k lambda_k (S^1/2 A_k S^1/2)^1/2

    is solved by the fixed point `S <- S^-1/2 ( sum_k lambda_k (S^1/2 A_k S^1/2)^1/2 )^2 S^-1/2`.

    `covariances: (..., K, d, d)` and weights `(K,)` give `(..., d, d)`. At least one covariance should be invertible.
    `tolerance` bounds the residual of the equation relative to S, by default 1e-10, and 1e-5 in float32. Raises
    `InputError` for bad matrices, warns with `ConvergenceWarning`. Source: Álvarez-Esteban et al. (2016), *A
    fixed-point approach to barycenters in Wasserstein space*, theorem 4.2.

    >>> bures_barycenter(torch.stack([torch.eye(2), 9 * torch.eye(2)]))
    tensor([[4., 0.],
            [0., 4.]])
    """
    check_covariance("covariances", covariances)
    if covariances.ndim < 3:
        raise InputError(f"covariances has shape {tuple(covariances.shape)}, wanted (..., K, d, d)")
    if tolerance is None:
        tolerance = 1e-5 if covariances.dtype == torch.float32 else 1e-10
    share = shares(weights, covariances.shape[-3], covariances)[:, None, None]
    S, error, done = (share * covariances).sum(-3), math.inf, 0
    while True:
        R, inverse = symmetric_root(S).unsqueeze(-3), inverse_root(S)
        mean = (share * symmetric_root(R @ covariances @ R)).sum(-3)
        error = float(((mean - S).norm(dim=(-2, -1)) / S.norm(dim=(-2, -1))).max())
        if error <= tolerance or done >= max_iterations:
            break
        S, done = inverse @ mean @ mean @ inverse, done + 1
    warn_unless(error <= tolerance, "bures_barycenter", done, "a residual", error, tolerance)
    return S


def shares(weights: Tensor | Sequence[float] | None, count: int, like: Tensor) -> Tensor:
    """Return the weights of the laws that are averaged, `(count,)`."""
    if weights is None:
        return like.new_full((count,), 1 / count)
    share = torch.as_tensor(weights, dtype=like.dtype, device=like.device)
    if share.shape != (count,) or bool((share < 0).any()) or abs(float(share.sum()) - 1) > 1e-4:
        raise InputError(f"weights must be {count} numbers of sum one, none negative, got {share.tolist()}")
    return share


def _start(
    clouds: Sequence[Tensor], size: int | None, start: Tensor | None, generator: torch.Generator | None
) -> Tensor:
    if start is not None and size is None:
        return start
    if size is None or start is not None:
        raise InputError("free_barycenter takes the number of points, size, or the points to start from: give one")
    pool = torch.cat(list(clouds))
    if not 1 <= size <= len(pool):
        raise InputError(f"size must lie between 1 and {len(pool)}, the number of points in all clouds, got {size}")
    device = pool.device if generator is None else generator.device
    return pool[torch.randperm(len(pool), generator=generator, device=device)[:size].to(pool.device)]


def warn_unless(converged: bool, name: str, done: int, what: str, error: float, tolerance: float) -> None:
    """Warn with `ConvergenceWarning` that the function `name` stopped short of its tolerance."""
    if not converged:
        warnings.warn(
            f"{name} stopped after {done} rounds with {what} of {error:.2e}, wanted {tolerance:.2e}",
            ConvergenceWarning,
            stacklevel=3,
        )
