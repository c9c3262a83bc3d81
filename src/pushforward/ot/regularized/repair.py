"""Exact sums for a plan whose cardinality did not leave room for them."""

from __future__ import annotations

from dataclasses import replace

import torch

from pushforward.ot.exact.linear_program import linear_program
from pushforward.ot.exact.plan import SparsePlan
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
    problem = plan.problem
    cost = problem.dense().double()
    spread = float(cost.max() - cost.min()) or 1.0
    tied = plan.row_potential[:, None] + plan.column_potential - cost >= -SLACK * spread
    tied[plan.i, plan.j] = True
    # no rerouting is worth a unit of mass elsewhere: that would take a cycle through at most n + m entries
    priced = torch.where(tied, cost, cost + sum(problem.shape) * spread)
    found = linear_program(replace(problem.detached(), cost=priced, x=None, y=None, a=problem.a.double(),
                                   b=problem.b.double()), 1e-12, 100)  # fmt: skip
    return replace(found, problem=problem, method="repaired", mass=found.mass.to(plan.mass), optimal=False)
