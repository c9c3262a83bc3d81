"""Discrete optimal transport: one function, `solve`, and the plan that it returns."""

from pushforward.ot.entropic_plan import EntropicPlan
from pushforward.ot.plan import Plan
from pushforward.ot.problem import Problem
from pushforward.ot.solve import solve
from pushforward.ot.sparse_plan import SparsePlan

__all__ = ["EntropicPlan", "Plan", "Problem", "SparsePlan", "solve"]
