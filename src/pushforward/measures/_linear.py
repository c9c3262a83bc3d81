"""Linear algebra that the Gaussian family shares: checked input, factorisations in float64, batched whitening."""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.tensors import check_finite

__all__ = ["LOG_2PI", "Numbers", "check_points", "check_weights", "cholesky", "draw_rows", "floating", "invert_lower"]

LOG_2PI = math.log(2 * math.pi)
Numbers: TypeAlias = Tensor | list
"""A tensor, or (nested) lists of numbers as they come from a configuration file."""


def floating(name: str, value: Numbers, dimensions: int | None = None) -> Tensor:
    """Return `value` as a finite floating tensor, of `dimensions` dimensions where given."""
    tensor = torch.as_tensor(value)
    if not tensor.is_floating_point():
        tensor = tensor.to(torch.get_default_dtype())
    if tensor.numel() == 0 or (dimensions is not None and tensor.ndim != dimensions):
        wanted = "at least one number" if dimensions is None else f"{dimensions} dimensions, none of them empty"
        raise InputError(f"{name} has shape {tuple(tensor.shape)}, wanted {wanted}")
    check_finite(name, tensor.reshape(1, -1))
    return tensor


def cholesky(name: str, matrix: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the lower Cholesky factors, float64, of one matrix or a stack of them.

    Raises `InputError` for a wrong shape and for a matrix that is not symmetric and positive definite.
    """
    if tuple(matrix.shape) != shape:
        raise InputError(f"{name} has shape {tuple(matrix.shape)}, wanted {shape} to go with the mean")
    if not torch.allclose(matrix, matrix.mT, rtol=1e-5, atol=1e-7 * float(matrix.abs().max())):
        largest = float((matrix - matrix.mT).abs().max())
        raise InputError(f"{name} is not symmetric: the largest difference from its transpose is {largest:.3g}")
    factor, failed = torch.linalg.cholesky_ex(matrix.double())
    if failed.any():
        smallest = float(torch.linalg.eigvalsh(matrix.double()).min())
        raise InputError(f"{name} is not positive definite: its smallest eigenvalue is {smallest:.3g}")
    return factor


def invert_lower(factor: Tensor) -> Tensor:
    """Return the inverses of lower triangular matrices."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    return torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)


def check_weights(weights: Numbers | None, n: int, like: Tensor) -> Tensor:
    """Return `n` positive weights with sum one, all equal when `None`."""
    if weights is None:
        return torch.full((n,), 1 / n, dtype=like.dtype, device=like.device)
    checked = floating("weights", weights, 1).to(like)
    if checked.shape != (n,) or not bool((checked > 0).all()):
        raise InputError(f"weights must be {n} positive numbers, one per component, got {checked.tolist()}")
    return checked / checked.sum()


def check_points(x: Tensor, event_shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless `x` is a batch of points of `event_shape`."""
    if x.ndim == 0 or tuple(x.shape[1:]) != event_shape:
        raise InputError(f"x has shape {tuple(x.shape)}, wanted (n, {', '.join(map(str, event_shape))})")


def draw_rows(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """Draw `n` component numbers with these probabilities."""
    u = torch.rand(n, generator=generator, dtype=torch.float64, device=weights.device)
    edges = weights.double().cumsum(0)
    return torch.searchsorted(edges, u, right=True).clamp_(max=len(weights) - 1)
