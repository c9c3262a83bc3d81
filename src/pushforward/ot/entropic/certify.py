"""The certificate of an entropic plan: one exact pass over all costs that may matter."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk

__all__ = ["certify"]


def certify(walk: Walk, f: Tensor, g: Tensor, epsilon: float, reach: float = math.inf) -> tuple[Tensor, float]:
    """Return the soft conjugate f of `g: (..., m)`, and the L1 error of the columns of their balanced plan.

    The plan's rows are exact by the choice of f. Pairs may be skipped whose entries, by bounds on their costs and the
    given `f`, are below `a_i b_j exp(-reach)`: all together they hold less mass than `exp(-reach)`. Of many problems
    the largest error counts.
    """
    a, b = walk.problem.a, walk.problem.b
    conjugate, columns = torch.empty_like(f), torch.zeros_like(g)
    offset = g + epsilon * b.log()
    for block in walk.near(f, g, reach * epsilon):
        exponent = offset[..., block.columns].unsqueeze(-2) - block.cost
        top = exponent.amax(-1, keepdim=True)
        kernel = exponent.sub_(top).mul_(1 / epsilon).clamp_(min=-200.0).exp_()  # no slow denormal numbers
        sums = kernel.sum(-1, keepdim=True)
        conjugate[..., block.rows] = -(top + epsilon * sums.log()).squeeze(-1)
        columns.index_add_(-1, block.columns, ((a[..., block.rows].unsqueeze(-1) / sums).mT @ kernel).squeeze(-2))
    error = float((columns - b).abs().sum(-1).max())
    return conjugate, error if math.isfinite(error) else math.inf
