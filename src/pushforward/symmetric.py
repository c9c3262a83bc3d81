"""Square roots of symmetric positive semi-definite matrices: the linear algebra of Gaussian transport."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pushforward.errors import InputError

__all__ = ["check_covariance", "inverse_root", "symmetric_root"]


def symmetric_root(A: Tensor) -> Tensor:
    """Return the positive semi-definite square root `R R = A` of `A: (..., d, d)`.

    Eigenvalues that are negative, or positive only by rounding, count as zero. The derivative solves
    `dR R + R dR = dA` in the eigenbasis: it divides by sums of eigenvalues of R, never by their differences, so that
    repeated eigenvalues do no harm; where both are zero it is taken as zero. First derivatives only. Only the lower
    triangle of A is read.

    >>> symmetric_root(torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    tensor([[2., 0.],
            [0., 0.]])
    """
    return _Root.apply(A)  # pyright: ignore[reportReturnType]


def inverse_root(A: Tensor) -> Tensor:
    """Return the pseudo-inverse of the square root of `A: (..., d, d)`; null directions stay null. No derivative."""
    roots, basis = _spectrum(A.detach())
    inverse = torch.where(roots > 0, roots.reciprocal(), roots.new_zeros(()))
    return (basis * inverse.unsqueeze(-2)) @ basis.mT


def check_covariance(name: str, A: Tensor, like: Tensor | None = None) -> None:
    """Raise `InputError` unless `A` is floating, square in its last axes, and of the size and dtype of `like`."""
    if A.ndim < 2 or A.shape[-1] != A.shape[-2] or not A.is_floating_point():
        raise InputError(f"{name} must be floating matrices (..., d, d), got {A.dtype} of shape {tuple(A.shape)}")
    if like is not None and (A.shape[-1] != like.shape[-2] or A.dtype != like.dtype):
        raise InputError(
            f"{name} is {A.shape[-1]} x {A.shape[-1]} of {A.dtype}, wanted {like.shape[-2]} x {like.shape[-2]} "
            f"of {like.dtype}: both sides must agree"
        )


def _spectrum(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues of the root, `(..., d)`, and the eigenvectors."""
    values, basis = torch.linalg.eigh(A)
    noise = A.shape[-1] * torch.finfo(A.dtype).eps * values.abs().amax(-1, keepdim=True)
    return torch.where(values > noise, values, values.new_zeros(())).sqrt(), basis


class _Root(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, A: Tensor) -> Tensor:
        roots, basis = _spectrum(A)
        ctx.save_for_backward(roots, basis)
        return (basis * roots.unsqueeze(-2)) @ basis.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        roots, basis = ctx.saved_tensors
        sums = roots.unsqueeze(-1) + roots.unsqueeze(-2)
        inner = basis.mT @ ((gradient + gradient.mT) / 2) @ basis
        return basis @ torch.where(sums > 0, inner / sums, inner.new_zeros(())) @ basis.mT
