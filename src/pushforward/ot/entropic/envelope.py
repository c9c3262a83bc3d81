"""The dual value of potentials: a bound of the objective, and by the envelope theorem its derivative."""

from __future__ import annotations

from torch import Tensor

from pushforward.ot.entropic.gibbs import Gibbs, first_order
from pushforward.ot.marginals import KL, AtMost, Marginal

__all__ = ["dual_value", "objective", "primal_value", "with_gradient_of"]


def objective(kernel: Gibbs) -> Tensor:
    """Return `<P, C> + epsilon KL(P | a b^T)`, and the price of sums that stray: `(...)`.

    It is differentiable in the points or costs and in the weights by the envelope theorem (Danskin): the derivative
    of the optimum is that of the dual value at fixed potentials, which is `P` in the costs and `f`, `g` in weights
    that keep their sum. First order only. Source: Feydy et al., *Interpolating between optimal transport and MMD using
    Sinkhorn divergences* (2019), section 3.
    """
    sums = kernel.sums()
    return with_gradient_of(dual_value(kernel, sums), primal_value(kernel, sums))


def with_gradient_of(carrier: Tensor, value: Tensor) -> Tensor:
    """Return `value` with the derivative of `carrier`."""
    return value.detach() + (carrier - carrier.detach())


def primal_value(kernel: Gibbs, sums: tuple[Tensor, Tensor]) -> Tensor:
    """Return the objective of the plan as it is: with its sums r and c, `r.f + c.g - epsilon (sum P - sum a sum b)`,
    and the price of sums that stray where a side is `KL`.
    """
    a, b, (rule_a, rule_b), (rows, columns) = kernel.problem.a, kernel.problem.b, kernel.problem.marginals, sums
    entropic = (a * rows * kernel.f).sum(-1) + (b * columns * kernel.g).sum(-1) - _excess(kernel, rows)
    return entropic + _price(rule_a, rows, a) + _price(rule_b, columns, b)


def dual_value(kernel: Gibbs, sums: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Return `D_a(f) + D_b(g) - epsilon (sum P - sum a sum b)`: `(...)`.

    `D_a(f)` is `a.f` where the sums equal the weights and `-rho sum a (exp(-f / rho) - 1)` where they may stray at the
    price rho. The error of potentials enters in second order only. Differentiable at fixed potentials.
    """
    rows, _ = kernel.sums() if sums is None else sums
    a, b, (rule_a, rule_b) = kernel.problem.a, kernel.problem.b, kernel.problem.marginals
    value = _conjugate(rule_a, kernel.f, a) + _conjugate(rule_b, kernel.g, b) - _excess(kernel, rows)
    if isinstance(rule_b, AtMost) and kernel.problem.mass is not None:
        # The multiplier of the mass is part of the stored column potential: the rest is zero where there is room left.
        value = value + kernel.g.amax(-1) * (kernel.problem.mass - b.sum(-1))
    return first_order(value)


def _excess(kernel: Gibbs, rows: Tensor) -> Tensor:
    a, b = kernel.problem.a, kernel.problem.b
    return kernel.epsilon * ((a * rows).sum(-1) - a.sum(-1) * b.sum(-1))


def _price(rule: Marginal, sums: Tensor, weights: Tensor) -> Tensor:
    """Return what the rule charges for sums relative to the weights: `rho KL(sums weights | weights)`, or nothing."""
    if not isinstance(rule, KL):
        return sums.new_zeros(())
    return (rule.rho * weights * (sums.xlogy(sums) - sums + 1)).sum(-1)


def _conjugate(rule: Marginal, potential: Tensor, weights: Tensor) -> Tensor:
    if not isinstance(rule, KL):
        return (weights * potential).sum(-1)
    return -(rule.rho * weights * (-potential / rule.rho).expm1()).sum(-1)
