"""The divergence of a vector field, exact or estimated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["divergence", "rademacher"]

_BATCHED_ENTRIES = 2**20
"""Entries of the vector-Jacobian products taken at once: more cost memory and gain little."""


def rademacher(x: Tensor, probes: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw `probes` independent random signs for every entry of `x: (B, *event)`: `(probes, B, *event)`."""
    if probes < 1:
        raise InputError(f"probes must be at least 1, or None for the exact divergence, got {probes}")
    bits = torch.randint(0, 2, (probes, *x.shape), generator=generator, device=x.device)
    return (2 * bits - 1).to(x.dtype)


def divergence(
    fn: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    probes: int | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Return `fn(x): (B, *event)` and its divergence `sum_i d fn_i / d x_i`, `(B,)`.

    Exact for `probes=None` and no `noise`, by one vector-Jacobian product per entry. Otherwise Hutchinson's estimate:
    the mean of `z^T J z` over random signs `z`, drawn here or given as `noise: (probes, B, *event)` (an ODE solver
    needs the same signs at every call). Rows of `fn` must not depend on each other. With grad mode on the result can be
    differentiated again, in x and in whatever `fn` uses.

    Reference: Hutchinson (1989), "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
    splines".

    >>> divergence(lambda x: x**2, torch.tensor([[1.0, 3.0]]))[1].tolist()
    [8.0]
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        point = x if again and x.requires_grad else x.detach().requires_grad_()
        value = fn(point)
        vectors = _basis(x) if noise is None and probes is None else noise
        vectors = rademacher(x, probes or 1, generator=generator) if vectors is None else vectors
        trace = _trace(value, point, vectors, again)
    mean = trace if noise is None and probes is None else trace / len(vectors)
    return (value, mean) if again else (value.detach(), mean.detach())


def _basis(x: Tensor) -> Tensor:
    """Return the unit vectors of an event, for every row: `(n, B, *event)`, one row's worth of memory each."""
    event = x.shape[1:]
    unit = torch.eye(event.numel(), dtype=x.dtype, device=x.device)
    return unit.view(-1, 1, *event).expand(-1, *x.shape)


def _trace(value: Tensor, x: Tensor, vectors: Tensor, again: bool) -> Tensor:
    """Return `sum_k z_k^T J z_k` for each row."""
    if not value.requires_grad:  # fn does not depend on x at all
        return x.new_zeros(len(x))
    total = x.new_zeros(len(x))
    for chunk in vectors.split(max(1, _BATCHED_ENTRIES // x.numel())):
        (products,) = torch.autograd.grad(
            value, x, chunk, retain_graph=True, create_graph=again, is_grads_batched=True, allow_unused=True
        )
        if products is not None:
            total = total + (products * chunk).flatten(2).sum((0, 2))
    return total
