"""Distances between Gaussians in closed form: Bures, 2-Wasserstein, entropic."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.symmetric import check_covariance, symmetric_root

__all__ = ["bures_wasserstein2", "entropic_cross_covariance", "entropic_gaussian", "gaussian_wasserstein2"]


def bures_wasserstein2(A: Tensor | None, B: Tensor, *, factor: Tensor | None = None, tau: float = 0.0) -> Tensor:
    """Return the squared 2-Wasserstein distance between centred Gaussians of covariances A and B.

        tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2  =  |W|^2 + tr B - 2 |B^1/2 W|_nuclear,    A = W W^T

    The sum of singular values on the right needs no root of a small eigenvalue, so that gradients stay finite where A
    has a low rank: with respect to A the gradient is `I - T`, with T the transport map from A to B, with respect to W
    it is `2 (I - T) W`. It vanishes along directions that W has lost.

    Args:
        A: `(..., d, d)`, symmetric positive semi-definite, in squared units of the data; `None` where `factor` is
            given.
        B: `(..., d, d)`, likewise.
        factor: W, `(..., d, k)`, of any number of columns, in place of A.
        tau: smooths the distance by comparing `A + tau I` with `B + tau I`.

    Returns `(...)`, in squared units of the data. First derivatives only (second ones in W alone). Raises `InputError`
    unless exactly one of A and the factor is given, and for matrices that do not go together. Sources: Bhatia, Jain
    and Lim (2019), *On the Bures-Wasserstein distance between positive definite matrices*; Bréchet et al. (2023),
    *Critical points and convergence analysis of generative deep linear networks trained with Bures-Wasserstein loss*.

    >>> bures_wasserstein2(4 * torch.eye(2), torch.eye(2))
    tensor(2.)
    """
    if tau < 0:
        raise InputError(f"tau must not be negative, got {tau}")
    check_covariance("B", B)
    if A is not None and factor is None:
        check_covariance("A", A, B)
        W, trace = symmetric_root(_lift(A, tau)), _trace(_lift(A, tau))
    elif A is None and factor is not None:
        W = _lift_factor(factor, B, tau)
        trace = W.square().sum((-2, -1))
    else:
        raise InputError("bures_wasserstein2 takes A, or None and its factor W with A = W W^T: give exactly one")
    B = _lift(B, tau)
    return (trace + _trace(B) - 2 * _nuclear(symmetric_root(B) @ W)).clamp(min=0)


def gaussian_wasserstein2(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> Tensor:
    """Return the squared 2-Wasserstein distance between two Gaussians: `|mean0 - mean1|^2` and the Bures distance.

    Means are `(..., d)`, covariances `(..., d, d)`; returns `(...)` in squared units of the data. It is a lower bound
    for any two laws with these moments (Gelbrich 1990). Raises `InputError` for moments that do not go together.

    >>> gaussian_wasserstein2(torch.zeros(2), torch.eye(2), torch.tensor([3.0, 4.0]), torch.eye(2))
    tensor(25.)
    """
    _check_moments(mean0, cov0, mean1, cov1)
    return (mean0 - mean1).square().sum(-1) + bures_wasserstein2(cov0, cov1)


def entropic_gaussian(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor, epsilon: float) -> Tensor:
    """Return the entropic transport objective `min <P, C> + epsilon KL(P | a b^T)` between two Gaussians.

    For the cost `|x - y|^2`, with s = epsilon / 2, the singular values c_i of `cov0^1/2 cov1^1/2` and
    `D_i = sqrt(4 c_i^2 + s^2)`, it is

        |mean0 - mean1|^2 + tr cov0 + tr cov1 + sum_i ( s (1 - log 2s) + s log(D_i + s) - D_i ).

    Means are `(..., d)`, covariances `(..., d, d)`, epsilon is in units of the cost; returns `(...)`. First derivatives
    only. Raises `InputError` for a bad epsilon or moments that do not go together. Source: Janati et al. (2020),
    *Entropic optimal transport between unbalanced Gaussian measures has a closed form*.
    """
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon must be positive and finite, got {epsilon}")
    _check_moments(mean0, cov0, mean1, cov1)
    s = epsilon / 2
    correlated = torch.linalg.svdvals(symmetric_root(cov0) @ symmetric_root(cov1))
    D = (4 * correlated.square() + s * s).sqrt()
    entropy = (s * (1 - math.log(2 * s)) + s * (D + s).log() - D).sum(-1)
    return (mean0 - mean1).square().sum(-1) + _trace(cov0) + _trace(cov1) + entropy


def entropic_cross_covariance(cov0: Tensor, cov1: Tensor, epsilon: float) -> Tensor:
    """Return the cross covariance `Cov(x0, x1)` of the entropic plan between two Gaussians, which is Gaussian.

    For the cost `|x - y|^2`, with s = epsilon / 2: `cov0^1/2 (cov0^1/2 cov1 cov0^1/2 + s^2 / 4 I)^1/2 cov0^-1/2 - s / 2
    I`. With `epsilon = 2 sigma^2` it joins the ends of the Schroedinger bridge of diffusion sigma.

    Covariances are `(d, d)`, positive definite, epsilon is in units of the cost; returns `(d, d)`. Raises `InputError`
    for a bad epsilon or covariances that do not go together. Source: Janati et al. (2020), *Entropic optimal transport
    between unbalanced Gaussian measures has a closed form*, proposition 1.

    >>> entropic_cross_covariance(torch.eye(1), torch.eye(1), 2.0)  # sqrt(5) / 2 - 1 / 2
    tensor([[0.6180]])
    """
    if not 0 < epsilon < math.inf:
        raise InputError(f"epsilon must be positive and finite, got {epsilon}")
    check_covariance("cov0", cov0)
    check_covariance("cov1", cov1, cov0)
    identity, root = torch.eye(len(cov0), dtype=cov0.dtype, device=cov0.device), symmetric_root(cov0)
    inner = symmetric_root(root @ cov1 @ root + (epsilon / 4) ** 2 * identity)
    return torch.linalg.solve(root, root @ inner, left=False) - epsilon / 4 * identity


def _lift_factor(factor: Tensor, B: Tensor, tau: float) -> Tensor:
    """Return a factor of `W W^T + tau I`."""
    if factor.ndim < 2 or factor.shape[-2] != B.shape[-1] or factor.dtype != B.dtype:
        raise InputError(
            f"factor is {factor.dtype} of shape {tuple(factor.shape)}, wanted {B.dtype} (..., {B.shape[-1]}, k) as B"
        )
    if tau == 0:
        return factor
    noise = math.sqrt(tau) * torch.eye(B.shape[-1], dtype=B.dtype, device=B.device)
    return torch.cat([factor, noise.expand(*factor.shape[:-2], -1, -1)], -1)


def _lift(A: Tensor, tau: float) -> Tensor:
    return A if tau == 0 else A + tau * torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)


def _nuclear(M: Tensor) -> Tensor:
    """Sum the singular values; those that are zero up to rounding have a zero subgradient, not an arbitrary one."""
    values = torch.linalg.svdvals(M)
    noise = max(M.shape[-2:]) * torch.finfo(M.dtype).eps * values.amax(-1, keepdim=True)
    return torch.where(values > noise, values, values.new_zeros(())).sum(-1)


def _trace(A: Tensor) -> Tensor:
    return A.diagonal(dim1=-2, dim2=-1).sum(-1)


def _check_moments(mean0: Tensor, cov0: Tensor, mean1: Tensor, cov1: Tensor) -> None:
    check_covariance("cov0", cov0)
    check_covariance("cov1", cov1, cov0)
    for name, mean in (("mean0", mean0), ("mean1", mean1)):
        if mean.ndim < 1 or mean.shape[-1] != cov0.shape[-1]:
            raise InputError(f"{name} has shape {tuple(mean.shape)}, wanted (..., {cov0.shape[-1]}) as the covariances")
