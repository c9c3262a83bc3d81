"""Derivatives of the optimal potentials, and so of the plan: the implicit function theorem."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.entropic.conjugate_gradients import conjugate_gradients
from pushforward.ot.entropic.gibbs import Gibbs, first_order, times, total
from pushforward.ot.marginals import KL, AtMost, Marginal

__all__ = ["implicit_potentials"]

TOLERANCE, MAX_ITERATIONS = 1e-10, 1000


def implicit_potentials(kernel: Gibbs) -> tuple[Tensor, Tensor]:
    """Return the potentials of a solved problem as differentiable functions of its weights, points and costs.

    Where `E b` and `E^T a` change at fixed potentials, optimal potentials move by

        df = -phi_a (epsilon d(E b) + E (b dg)) / (E b),     dg = -phi_b (epsilon d(E^T a) + E^T (a df)) / (E^T a)

    with `phi = 1` where sums equal the weights, and `rho / (rho + epsilon)` where they stray at the price rho. From the
    derivatives L_f and L_g of a loss the backward pass finds those in the sums, `-epsilon u` and `-epsilon v`, of

        (E b / phi_a) u + a (E v) = L_f,     (E^T a / phi_b) v + b (E^T u) = L_g,

    by conjugate gradients on its Schur complement. Points without mass have derivatives too: those of their
    conjugates. First order only. Sources: Luise et al., *Differential properties of Sinkhorn approximation for
    learning with Wasserstein distance* (2018); Eisenberger et al., *A unified framework for implicit Sinkhorn
    differentiation* (2022).
    """
    f, g = (first_order(potential) for potential in _Implicit.apply(*kernel.sums(), kernel.detached()))
    a, b = kernel.problem.a, kernel.problem.b
    if not kernel.problem.balanced:
        return f, g
    shift = ((a * f).sum(-1) - (b * g).sum(-1)) / (a.sum(-1) + b.sum(-1))
    return f - shift.unsqueeze(-1), g + shift.unsqueeze(-1)


class _Implicit(torch.autograd.Function):
    """From the sums `E b` and `E^T a` at fixed potentials to the potentials that would restore them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, columns: Tensor, kernel: Gibbs) -> tuple[Tensor, Tensor]:
        """Return the potentials, which are optimal already."""
        ctx.kernel, ctx.sums = kernel, (rows.detach(), columns.detach())
        return kernel.f.clone(), kernel.g.clone()

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        """Return `-epsilon (u, v)` of the linear system."""
        u, v = _adjoint(ctx.kernel, ctx.sums, *grad_outputs)
        return -ctx.kernel.epsilon * u, -ctx.kernel.epsilon * v, None


def _adjoint(kernel: Gibbs, sums: tuple[Tensor, Tensor], L_f: Tensor, L_g: Tensor) -> tuple[Tensor, Tensor]:
    """Solve the transposed system for u and v."""
    a, b, (rule_a, rule_b), walk = kernel.problem.a, kernel.problem.b, kernel.problem.marginals, _walk(kernel)
    scale_a, scale_b = _damping(rule_a, kernel.epsilon) / sums[0], _damping(rule_b, kernel.epsilon) / sums[1]

    def given(v: Tensor) -> Tensor:  # u of the first equation
        return scale_a * (L_f - a * torch.cat([times(E, v) for _, E in walk()], -1))

    def transposed(u: Tensor) -> Tensor:
        return total(times(E.mT, u[..., rows]) for rows, E in walk())

    def schur(w: Tensor) -> Tensor:  # of v = b w, in one pass over E
        back = total(times(E.mT, (a * scale_a)[..., rows] * times(E, b * w)) for rows, E in walk())
        return torch.where(b > 0, b * (w / scale_b - back), 0)

    squares = total(times(E.square().mT, (a * scale_a)[..., rows]) for rows, E in walk())
    diagonal = (b / scale_b - b * b * squares).maximum(torch.finfo(b.dtype).eps * b / scale_b)

    massless = torch.where(b > 0, 0, scale_b * L_g)
    rhs = torch.where(b > 0, L_g - b * transposed(given(massless)), 0)
    if kernel.problem.balanced:  # a constant may move from g to f: the null vector
        rhs = rhs - b / scale_b * (rhs.sum(-1, keepdim=True) / (b / scale_b).sum(-1, keepdim=True))
    v = massless + b * _solve(schur, rhs, torch.where(b > 0, diagonal, 1))
    return given(v), v


def _solve(schur: Callable[[Tensor], Tensor], rhs: Tensor, diagonal: Tensor) -> Tensor:
    tolerance = max(TOLERANCE, torch.finfo(rhs.dtype).eps ** 0.75)
    solved = conjugate_gradients(schur, rhs, diagonal, tolerance=tolerance, max_iterations=MAX_ITERATIONS)
    if not solved.residual <= tolerance:
        warnings.warn(
            f"the derivative of the transport plan stopped after {solved.iterations} conjugate gradients with a "
            f"relative residual of {solved.residual:.2e}, wanted {tolerance:.2e}: raise epsilon",
            ConvergenceWarning,
            stacklevel=3,
        )
    return solved.x


def _walk(kernel: Gibbs) -> Callable[[], Iterator[tuple[slice, Tensor]]]:
    """Return a function that walks through E once more; what fits into one block is kept."""
    again = lambda: kernel.each(lambda rows, E, _: (rows, E))  # noqa: E731
    if len(list(kernel.problem.slices())) > 1:
        return again
    kept = list(again())
    return lambda: iter(kept)


def _damping(rule: Marginal, epsilon: float) -> float | Tensor:
    if isinstance(rule, AtMost):
        raise InputError("a partial plan (marginals=AtMost()) has no derivative: differentiate its objective only")
    return rule.rho / (rule.rho + epsilon) if isinstance(rule, KL) else 1.0
