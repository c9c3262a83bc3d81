"""Optimal potentials of a sparse plan, over all edges: the certificate that no other plan is cheaper."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["conjugate", "tighten"]


def conjugate(cost: Tensor, g: Tensor) -> Tensor:
    """Return `f_i = min_j C_ij - g_j`, the largest potential that is feasible with `g`: `(n,)`."""
    return (cost - g).amin(1)


def tighten(cost: Tensor, i: Tensor, j: Tensor, g: Tensor) -> Tensor:
    """Lower `g: (m,)` until every entry `(i, j)` of a plan is tight, `f_i + g_j = C_ij`, and no other edge is violated.

    These are Bellman-Ford shortest paths in the residual graph; they end after at most as many rounds as there are
    points exactly when the plan is optimal.
    """
    entries = cost[i, j]
    tolerance = 1e-13 * float(cost.abs().max())
    for _ in range(sum(cost.shape)):
        f = g.new_full((cost.shape[0],), -torch.inf).scatter_reduce(0, i, entries - g[j], "amax")
        lower = (cost - f[:, None]).amin(0)
        if not bool((lower < g - tolerance).any()):
            break
        g = torch.minimum(g, lower)
    return g
