"""Exact sums for a plan whose cardinality did not leave room for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.exact.transport import exact_transport
from pushforward.ot.regularized.plan import RegularizedPlan

__all__ = ["repair"]

SLACK = 1e-6
"""How far, in units of the cost's spread, an entry may lie below the level of its column and still count as a tie."""


def repair(plan: RegularizedPlan) -> SparsePlan:
    """Return a plan with the sums asked for, on the support of a k-sparse plan and the entries tied with it.

        minimise <P, C>   over   P 1 = a,  P^T 1 = b,  P_ij = 0 unless f_i + g_j - C_ij >= 0

    up to rounding. Where no such plan exists, the least possible mass goes elsewhere. It has at most n + m - 1
    entries, but a column may have more than k: count them. Source: the remark on ties in Liu et al. (2023).
    """
    problem = plan.problem.detached()
    cost = problem.dense().double()
    spread = float(cost.max() - cost.min()) or 1.0
    tied = plan.row_potential[:, None] + plan.column_potential - cost >= -SLACK * spread
    tied[plan.i, plan.j] = True
    # no rerouting is worth a unit of mass elsewhere: that would take a cycle through at most n + m entries
    priced = torch.where(tied, cost, cost + sum(problem.shape) * spread)
    a, b = problem.a.double(), problem.b.double()
    found = exact_transport(replace(problem, cost=priced, x=None, y=None, a=a, b=b))
    return replace(found, problem=plan.problem, method="repaired", mass=found.mass.to(plan.mass))
