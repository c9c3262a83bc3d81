"""Discrete optimal transport: one function, `solve`, and the plan that it returns."""

from pushforward.ot.barycenter import Barycenter, bures_barycenter, free_barycenter
from pushforward.ot.batch_plan import BatchPlan
from pushforward.ot.divergence import sinkhorn_divergence
from pushforward.ot.entropic.plan import EntropicPlan
from pushforward.ot.entropic.sharded import solve_sharded
from pushforward.ot.exact.one_dimensional import wasserstein_1d
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.fixed_barycenter import fixed_barycenter
from pushforward.ot.gromov import GromovPlan, SquaredDistances, gromov_wasserstein
from pushforward.ot.linearized import LinearizedOT, pooled_reference
from pushforward.ot.marginals import KL, AtMost, Exact
from pushforward.ot.plan import Plan
from pushforward.ot.problem import Problem
from pushforward.ot.regularization import KSparse, Quadratic, Relative
from pushforward.ot.regularized.plan import RegularizedPlan
from pushforward.ot.regularized.repair import repair
from pushforward.ot.regularized.solve import regularized_transport
from pushforward.ot.semidiscrete.fit import semidiscrete
from pushforward.ot.semidiscrete.plan import SemiDiscretePlan
from pushforward.ot.sliced import sliced_wasserstein
from pushforward.ot.solve import solve

__all__ = [
    "KL",
    "AtMost",
    "Barycenter",
    "BatchPlan",
    "EntropicPlan",
    "Exact",
    "GromovPlan",
    "KSparse",
    "LinearizedOT",
    "Plan",
    "Problem",
    "Quadratic",
    "RegularizedPlan",
    "Relative",
    "SemiDiscretePlan",
    "SparsePlan",
    "SquaredDistances",
    "bures_barycenter",
    "fixed_barycenter",
    "free_barycenter",
    "gromov_wasserstein",
    "pooled_reference",
    "regularized_transport",
    "repair",
    "semidiscrete",
    "sinkhorn_divergence",
    "sliced_wasserstein",
    "solve",
    "solve_sharded",
    "wasserstein_1d",
]
