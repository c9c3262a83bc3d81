"""Soft c-transforms: all that the entropic solvers know of a problem."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.ot.problem import Problem

__all__ = ["DENSE", "DenseTransform", "PlanProduct", "SoftTransform", "exponent_floor"]

DENSE = 1 << 27
"""Entries up to which a kernel matrix is held; beyond, costs are streamed from the points."""

CHUNK = 1 << 18
"""Entries of the kernel that are made at once, so that all passes over them happen in the cache."""


class SoftTransform(ABC):
    """The soft conjugates of potentials at one regularisation `epsilon`.

    However the costs are held (a matrix, points, few entries, rows on many machines), these methods are all that the
    loop, the ladder and Newton's method need. Points without mass (weight 0) take no part in the sums and get finite
    conjugates.
    """

    epsilon: float

    @property
    def resolution(self) -> float:
        """L1 error of marginals that rounding may hide: sweeps need not get below it, however many are made."""
        return 0.0

    @abstractmethod
    def rows(self, g: Tensor) -> Tensor:
        """Return `f_i = -epsilon log sum_j b_j exp((g_j - C_ij) / epsilon)` of `g: (..., m)`: `(..., n)`."""

    @abstractmethod
    def columns(self, f: Tensor) -> Tensor:
        """Return `g_j = -epsilon log sum_i a_i exp((f_i - C_ij) / epsilon)` of `f: (..., n)`: `(..., m)`."""

    @abstractmethod
    def at(self, epsilon: float) -> SoftTransform:
        """Return the transform of the same problem at another regularisation."""

    def total(self, values: Tensor) -> Tensor:
        """Sum `values: (..., n)` over all source points, wherever they are: `(...)`."""
        return values.sum(-1)


@dataclass(frozen=True)
class PlanProduct:
    """Products with the plan `diag(u) K diag(v)` of a kernel with absorbed potentials."""

    kernel: Tensor
    u: Tensor
    v: Tensor

    def apply(self, w: Tensor) -> Tensor:
        """Return `P w`: `(..., n)`."""
        return self.u * (self.kernel @ (self.v * w).to(self.kernel.dtype).unsqueeze(-1)).squeeze(-1).to(w.dtype)

    def transpose_apply(self, w: Tensor) -> Tensor:
        """Return `P^T w`: `(..., m)`."""
        return self.v * ((self.u * w).to(self.kernel.dtype).unsqueeze(-2) @ self.kernel).squeeze(-2).to(w.dtype)


class DenseTransform(SoftTransform):
    """The conjugates by a kernel matrix `(..., n, m)` that is made once: one matrix-vector product each.

    The kernel `exp((f0 + g0 - C) / epsilon)` has recent potentials absorbed; it is made anew when the arguments have
    moved so far from them that precision would suffer, and its exponents are cut off below, so that nothing under- or
    overflows (and no denormal numbers slow the products down). It is the only matrix held, in `dtype`; potentials
    are in the dtype of the problem.
    """

    def __init__(self, problem: Problem, epsilon: float, dtype: torch.dtype | None = None) -> None:
        self.problem, self.a, self.b, self.epsilon = problem, problem.a, problem.b, epsilon
        self.dtype = problem.a.dtype if dtype is None else dtype
        self.reach = -exponent_floor(self.dtype) / 4 * epsilon
        self.kernel: Tensor | None = None
        self.f0, self.g0 = problem.a.new_zeros(()), problem.b.new_zeros(())

    def at(self, epsilon: float) -> DenseTransform:
        """Return the transform of the same problem at another regularisation."""
        return DenseTransform(self.problem, epsilon, self.dtype)

    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g`."""
        kernel = self._near(g, self.g0, None, g)
        v = (self.b * ((g - self.g0) / self.epsilon).exp()).to(self.dtype)
        return self.f0 - self.epsilon * (kernel @ v.unsqueeze(-1)).squeeze(-1).to(g.dtype).log()

    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of `f`."""
        kernel = self._near(f, self.f0, f, None)
        u = (self.a * ((f - self.f0) / self.epsilon).exp()).to(self.dtype)
        return self.g0 - self.epsilon * (u.unsqueeze(-2) @ kernel).squeeze(-2).to(f.dtype).log()

    def product(self, f: Tensor, g: Tensor) -> PlanProduct:
        """Return products with the plan of `(f, g)`."""
        kernel = self._near(g, self.g0, None, g)
        u = self.a * ((f - self.f0) / self.epsilon).exp()
        return PlanProduct(kernel, u, self.b * ((g - self.g0) / self.epsilon).exp())

    def _near(self, new: Tensor, absorbed: Tensor, f: Tensor | None, g: Tensor | None) -> Tensor:
        """Return the kernel, made anew if the argument is too far from what was absorbed."""
        if self.kernel is None or not bool((new - absorbed).abs().amax() < self.reach):
            self.kernel = self._absorb(f, g)
        return self.kernel

    def _absorb(self, f: Tensor | None, g: Tensor | None) -> Tensor:
        """Make the kernel of one potential; the other one is its hard conjugate, so that the largest entries are 1."""
        chunks = list(self.problem.slices(CHUNK))
        if g is None:
            assert f is not None
            least = [(self._cost(k) - f[..., k].unsqueeze(-1)).amin(-2) for k in chunks]
            g = torch.stack(least).amin(0)
        shape = (*self.problem.batch, *self.problem.shape)
        kernel, parts = torch.empty(shape, dtype=self.dtype, device=g.device), []
        for k in chunks:
            exponent = g.unsqueeze(-2) - self._cost(k)
            parts.append(-exponent.amax(-1) if f is None else f[..., k])
            exponent.add_(parts[-1].unsqueeze(-1)).mul_(1 / self.epsilon).clamp_(min=exponent_floor(self.dtype))
            kernel[..., k, :] = exponent
            kernel[..., k, :].exp_()
        self.f0, self.g0 = torch.cat(parts, -1), g
        return kernel

    def _cost(self, rows: slice) -> Tensor:
        return self.problem.rows(rows).to(self.a.dtype)


def exponent_floor(dtype: torch.dtype) -> float:
    """Smallest exponent of a kernel: far below what matters, far above the denormal numbers."""
    return 0.7 * math.log(torch.finfo(dtype).tiny)
