"""The one Sinkhorn loop of the library: matrix scaling with absorbed potentials, safe at any epsilon.

With potentials (f, g) in units of the cost, the plan is `P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon)`. A kernel
that has the current potentials absorbed is exponentiated once; sweeps then cost two matrix-vector products each.
Exponents are cut off below, so that nothing under- or overflows (and no denormal numbers slow the products down);
whenever the scalings grow, they are absorbed and the kernel made anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Scaled", "anneal", "ladder", "relaxed", "residual", "scale"]


@dataclass(frozen=True)
class Scaled:
    """Potentials `f: (n,)`, `g: (m,)`, the sweeps used and the L1 error of the marginals reached."""

    f: Tensor
    g: Tensor
    iterations: int
    error: float


def residual(C: Tensor) -> tuple[Tensor, float]:
    """Return the column potential that is optimal for infinite epsilon, and the spread of what remains of the cost.

    Parts of the cost that depend on one index only (a shift of one cloud, for example) do not influence any plan; the
    spread of the rest, estimated from at most 64 rows, is the natural unit of epsilon.
    """
    f, g = C.mean(1), C.mean(0)
    g = g - f.mean()
    rows = torch.linspace(0, C.shape[0] - 1, min(64, C.shape[0]), device=C.device).long()
    rest = C[rows] - f[rows, None] - g
    return g, float(rest.square().mean().sqrt())


def ladder(start: float, end: float, steps: int) -> list[float]:
    """Return `steps` regularisations in geometric progression from `start` down to `end`."""
    if steps == 1:
        return [end]
    return [start * (end / start) ** (k / (steps - 1)) for k in range(steps)]


def anneal(C: Tensor, a: Tensor, b: Tensor, g: Tensor, epsilons: list[float], sweeps: int) -> Tensor:
    """Follow the ladder `epsilons` with a few over-relaxed sweeps on each rung; return the column potential `(m,)`."""
    for epsilon in epsilons:
        kernel, _, u = _absorb(C, b, g, epsilon)
        _, v = relaxed(kernel, a, b, u, torch.ones_like(b), sweeps, 1.5)
        g = g + epsilon * v.log()
    return g


def relaxed(
    kernel: Tensor, a: Tensor, b: Tensor, u: Tensor, v: Tensor, sweeps: int, omega: float
) -> tuple[Tensor, Tensor]:
    """Sweep: `v <- v^(1-w) (K^T a u)^(-w)`, then `u <- u^(1-w) (K b v)^(-w)`."""
    for _ in range(sweeps):
        v = _relax(v, (a * u) @ kernel, omega)
        u = _relax(u, kernel @ (b * v), omega)
    return u, v


def _relax(old: Tensor, marginal: Tensor, omega: float) -> Tensor:
    new = marginal.reciprocal()
    return new if omega == 1 else old * (new / old).pow(omega)


def _absorb(C: Tensor, b: Tensor, g: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the kernel `exp((f + g - C) / epsilon)`, its `f`, and the scaling `u` that makes its rows right."""
    kernel = torch.sub(g, C)
    top = kernel.amax(1)
    kernel = kernel.sub_(top[:, None]).div_(epsilon).clamp_(min=_floor(C.dtype)).exp_()
    return kernel, -top, (kernel @ b).clamp(min=torch.finfo(C.dtype).tiny ** 0.5).reciprocal()


def _floor(dtype: torch.dtype) -> float:
    """Smallest exponent: far below what matters, far above the denormal numbers."""
    return 0.7 * math.log(torch.finfo(dtype).tiny)


def scale(C: Tensor, a: Tensor, b: Tensor, g: Tensor, epsilon: float, tolerance: float, max_iterations: int) -> Scaled:
    """Sweep until the marginals are within `tolerance` (L1), or `max_iterations` times.

    The over-relaxation is found on the way. The rows of the returned plan are exact; the error is that of its columns.
    """
    rate = _Rate()
    done, length, error = 0, 1, math.inf
    kernel, f, u = _absorb(C, b, g, epsilon)
    v = torch.ones_like(b)
    while True:
        error = _error(kernel, a, b, u, v)
        if error <= tolerance / 2 or done >= max_iterations:
            break
        length = min(length, max_iterations - done)
        u_next, v_next = relaxed(kernel, a, b, u, v, length, rate.omega)
        size = _size(u_next, v_next)
        if not math.isfinite(size):  # the scalings overflowed: go back and take single plain sweeps
            rate, length = _Rate(), 1
            u_next, v_next = relaxed(kernel, a, b, u, v, 1, 1.0)
            size = math.inf
        u, v, done = u_next, v_next, done + length
        rate.observe(_error(kernel, a, b, u, v), length)
        if size > -_floor(C.dtype) / 4:
            g = g + epsilon * v.log()
            kernel, f, u = _absorb(C, b, g, epsilon)
            v = torch.ones_like(b)
        else:
            length = min(2 * length, 10)
    return _finish(kernel, a, b, f, g, v, epsilon, done)


def _finish(kernel: Tensor, a: Tensor, b: Tensor, f: Tensor, g: Tensor, v: Tensor, epsilon: float, done: int) -> Scaled:
    """Make the rows exact, measure the columns, and centre the potentials so that `a.f = b.g`."""
    u = (kernel @ (b * v)).reciprocal()
    error = float((b * (v * ((a * u) @ kernel) - 1)).abs().sum())
    f, g = f + epsilon * u.log(), g + epsilon * v.log()
    shift = (a @ f - b @ g) / 2
    return Scaled(f - shift, g + shift, done, error)


def _error(kernel: Tensor, a: Tensor, b: Tensor, u: Tensor, v: Tensor) -> float:
    rows = (a * (u * (kernel @ (b * v)) - 1)).abs().sum()
    columns = (b * (v * ((a * u) @ kernel) - 1)).abs().sum()
    return float(rows + columns)


def _size(u: Tensor, v: Tensor) -> float:
    return float(torch.maximum(u.log().abs().max(), v.log().abs().max()))


class _Rate:
    """Find the over-relaxation `2 / (1 + sqrt(1 - q))` from the contraction q of plain sweeps.

    When errors grow, it falls back to plain sweeps.
    """

    def __init__(self) -> None:
        self.omega, self.last, self.seen = 1.0, math.inf, 0

    def observe(self, error: float, sweeps: int) -> None:
        q = (error / self.last) ** (1 / sweeps) if 0 < self.last < math.inf else 1.0
        self.last, self.seen = error, self.seen + 1
        if not error < math.inf or q > 1.05:
            self.omega, self.seen = 1.0, 0
        elif self.omega == 1 and self.seen >= 4 and q < 1:
            self.omega = min(2 / (1 + math.sqrt(1 - q)), 1.95)
