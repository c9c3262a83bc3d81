"""Prices: nearly optimal column potentials of a problem, from a short entropic ladder."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pushforward.ot.exact.certificate import blocks, column_conjugate, row_conjugate, steps
from pushforward.ot.problem import Problem

__all__ = ["prices"]

FLOOR = 1e-14
"""Least entry of a kernel: its square, times a weight, is no denormal number (which would slow the products down)."""

SWEEPS, RUNGS = 3, 16
"""Sweeps at every epsilon, and at most so many epsilons."""

SMALL, LARGE = 128, 16384
"""Up to so many points, the least costs of the columns will do; from so many points, a part of them is priced."""


def prices(problem: Problem) -> Tensor:
    """Return a nearly optimal column potential `(m,)` in float64, of a problem with positive weights."""
    n, m = problem.shape
    if max(n, m) <= SMALL:
        return problem.dense().amin(0).double()
    if max(n, m) <= LARGE:
        return _ladder(problem)
    rows, columns = (torch.linspace(0, k - 1, min(k, LARGE), device=problem.a.device).long() for k in (n, m))
    g = problem.b.new_full((m,), -torch.inf, dtype=torch.float64)
    g[columns] = _ladder(problem.part(rows, columns))
    return column_conjugate(problem, row_conjugate(problem, g))


def _ladder(problem: Problem) -> Tensor:
    """Return prices from a few Sinkhorn sweeps at every epsilon of a ladder.

    They are made in float32 at `epsilon = s/5, s/10, s/20, ...` with `s` the spread of the costs in a row, until the
    mass of a row goes to few columns on average. The kernel is exponentiated once: that of half the epsilon is its
    square, after the potentials are absorbed. Potentials are kept relative to the mean costs of the columns, so that
    far clouds lose no digits. All points take part from the start: between clusters, a part of them has other masses,
    and prices that are off from one cluster to another take the longest paths to mend.
    """
    a, b = problem.a.float(), problem.b.float()
    g = torch.stack([cost.sum(0) for _, cost in blocks(problem)]).sum(0) / len(a)
    some, reach = slice(None, None, max(1, len(a) // 64)), min(48, len(b) // 16)
    sample = problem.rows(some).double() - g
    spread = (sample - sample.mean(1, keepdim=True)).square().mean().sqrt().float()
    epsilon = (0.2 * spread).clamp(min=torch.finfo(torch.float32).tiny)
    kernel, v = _exponentiate(problem, g, a, epsilon)
    total = torch.zeros_like(b)
    for _ in range(RUNGS):
        for _ in range(SWEEPS - 1):
            v = _sweep(kernel, a, b, v)
        total += epsilon * v.log()
        if _reach(kernel[some] * (b * v)) < reach:
            break
        v = _halve(kernel, a, b, v)
        epsilon = epsilon / 2
    return g + total if bool(total.isfinite().all()) else g


def _exponentiate(problem: Problem, g: Tensor, a: Tensor, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kernel `exp((f + g - C) / epsilon)` with every row's largest entry one, and its column scaling."""
    kernel, sums = a.new_empty(problem.shape), a.new_zeros(len(g))
    for rows, cost in blocks(problem):
        block = kernel[rows]
        block.copy_(g - cost)
        block.sub_(block.amax(1, keepdim=True)).div_(epsilon).clamp_(min=-60).exp_()
        sums += a[rows] @ block
    return kernel, sums.reciprocal_()


def _sweep(kernel: Tensor, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Return the column scaling after `u = 1 / (K b v)`, `v = 1 / (K^T a u)`, in one pass over the kernel."""
    sums, v = torch.zeros_like(v), b * v
    for rows, block in _blocks(kernel):
        sums += (a[rows] / (block @ v)) @ block
    return sums.reciprocal_()


def _halve(kernel: Tensor, a: Tensor, b: Tensor, v: Tensor) -> Tensor:
    """Absorb the scalings and halve epsilon, in place; return the new column scaling."""
    sums = torch.zeros_like(v)
    for rows, block in _blocks(kernel):
        block.mul_((block @ (b * v)).reciprocal_()[:, None]).mul_(v).clamp_(min=FLOOR).square_()
        sums += a[rows] @ block
    return sums.reciprocal_()


def _reach(plan: Tensor) -> Tensor:
    """Return the number of columns that a row's mass goes to, the inverse of its concentration; the mean over rows."""
    return (plan.sum(1).square() / plan.square().sum(1)).mean()


def _blocks(kernel: Tensor) -> Iterator[tuple[slice, Tensor]]:
    return ((rows, kernel[rows]) for rows in steps(*kernel.shape))
