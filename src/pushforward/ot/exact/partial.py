"""Exact partial transport: the cheapest way to move part of the mass, as a balanced problem with slack points."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.transport import exact_transport
from pushforward.ot.marginals import Exact
from pushforward.ot.problem import Problem

__all__ = ["partial_transport"]


def partial_transport(problem: Problem) -> SparsePlan:
    """Move exactly `problem.mass` at least cost, taking at most `a` and bringing at most `b`.

    What is not moved goes to slack points at no cost: one target of mass `sum a - s`, one source of mass `sum b - s`,
    and between those two it is too dear to go. A side that is `Exact` must have the mass s as its total.

    Source: Chapel, Alaya and Gasso, *Partial optimal transport with applications on positive-unlabeled learning*
    (2020).
    """
    assert problem.mass is not None  # posed so; narrows the type
    left, right = (float(w.double().sum()) - problem.mass for w in (problem.a, problem.b))
    for name, rule, rest in (("source", problem.marginals[0], left), ("target", problem.marginals[1], right)):
        if isinstance(rule, Exact) and abs(rest) > 1e-6 * problem.mass:
            raise InputError(
                f"the {name} side must be moved whole (Exact) but has {rest:+.3g} more than mass: use AtMost"
            )
    cost = problem.dense().double()
    n, m = problem.shape
    padded = torch.nn.functional.pad(cost - cost.min(), (0, 1, 0, 1))
    padded[n, m] = 2 * float(padded.max()) + 1
    a = torch.cat([problem.a.double(), cost.new_tensor([max(right, 0.0)])])
    b = torch.cat([problem.b.double(), cost.new_tensor([max(left, 0.0)])])
    total = float(a.sum())
    plan = exact_transport(replace(problem, a=a / total, b=b / b.sum(), cost=padded, **_balanced()))
    real = (plan.i < n) & (plan.j < m)
    mass = (total * plan.mass[real]).to(problem.a.dtype)
    return SparsePlan(
        problem, "partial", plan.iterations, plan.converged, plan.i[real], plan.j[real], mass,
        _column_potential(plan, n, m),
    )  # fmt: skip


def _balanced() -> dict[str, object]:
    return {"x": None, "y": None, "marginals": (Exact(), Exact()), "mass": None}


def _column_potential(plan: SparsePlan, n: int, m: int) -> Tensor:
    """Return the targets' potential; with the slack source as zero it is never positive."""
    f, g = plan.f.double(), plan.g.double()
    return (g + f[n])[:m] if float(plan.problem.a[n]) > 0 else g[:m]
