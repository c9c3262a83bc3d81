"""Which of the sources that a target values almost alike feed it: chosen so that the row sums come out best."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from pushforward.geometry.simplex import simplex_threshold
from pushforward.ot.regularized.dual import Point

__all__ = ["settle"]

LOSS = 1e-3
"""What a column may lose by another choice, in units of the cost's spread for each unit of mass."""

REACH = 3
"""How many of the last entries taken may give way to how many of the first left out."""

SWEEPS = 20


def settle(point: Point, cost: Tensor, a: Tensor, b: Tensor, gamma: float, k: int, unit: float) -> Point:
    """Return the point with other columns, each among those nearly as good at `f`, that bring the row sums nearer to a.

    At a kink of the semi-dual some columns have several best supports, and the one that was met last is as good as any.
    Here every column may swap one of its k entries; columns choose in turn what lowers the L1 error of the row sums
    most, until none gains.
    """
    width = min(k + REACH, len(a))
    scores, near = (point.f - cost.T).topk(width, 1)
    supports = _supports(k, width).to(cost.device)
    part = scores[:, supports]  # (m, options, k)
    mass_of_columns = b[:, None].expand(part.shape[:2])
    level = simplex_threshold(part, gamma * mass_of_columns)
    mass = (part - level[..., None]).clamp(min=0) / gamma
    worth = (part * mass).sum(-1) - gamma / 2 * mass.square().sum(-1)
    allowed = worth >= worth.amax(1, keepdim=True) - LOSS * unit * b[:, None]
    index = near[:, supports]
    choice = _choose(index.cpu(), mass.cpu(), allowed.cpu(), a.cpu()).to(cost.device)
    column = torch.arange(len(b), device=cost.device)
    index, mass, level = index[column, choice], mass[column, choice], level[column, choice]
    rows = torch.zeros_like(a).index_add_(0, index.flatten(), mass.flatten())
    return replace(point, gradient=a - rows, g=-level, index=index, mass=mass)


def _supports(k: int, width: int) -> Tensor:
    """Return the first k places, and what becomes of them by a swap near the end: `(options, k)`."""
    first = torch.arange(k)
    swaps = [first]
    for leaving in range(max(0, k - REACH), k):
        for entering in range(k, width):
            swaps.append(torch.where(first == leaving, entering, first))
    return torch.stack(swaps)


def _choose(index: Tensor, mass: Tensor, allowed: Tensor, a: Tensor) -> Tensor:
    """Return the option of every column, `(m,)`, of `index, mass: (m, options, k)`."""
    choice = allowed.long().argmax(1)
    column = torch.arange(len(choice))
    rows = torch.zeros_like(a).index_add_(0, index[column, choice].flatten(), mass[column, choice].flatten())
    for _ in range(SWEEPS):
        before = choice.clone()
        for j in (allowed.sum(1) > 1).nonzero()[:, 0].tolist():
            rest = rows.index_add(0, index[j, choice[j]], mass[j, choice[j]], alpha=-1)
            tried = rest.repeat(len(index[j]), 1).scatter_add(1, index[j], mass[j])
            error = (tried - a).abs().sum(1).where(allowed[j], torch.inf)
            if error.min() < error[choice[j]] - 1e-12:
                choice[j] = error.argmin()
            rows = tried[choice[j]]
        if torch.equal(choice, before):
            break
    return choice
