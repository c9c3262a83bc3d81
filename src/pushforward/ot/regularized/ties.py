"""Which of the sources that a target values almost alike feed it: chosen so that the row sums come out best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
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
    level = simplex_threshold(part, gamma * b[:, None].expand(part.shape[:2]))
    mass = (part - level[..., None]).clamp(min=0) / gamma
    worth = (part * mass).sum(-1) - gamma / 2 * mass.square().sum(-1)
    allowed = worth >= worth.amax(1, keepdim=True) - LOSS * unit * b[:, None]
    spread = mass.new_zeros(*part.shape[:2], width).scatter_(2, supports.expand_as(mass), mass)
    choice = torch.from_numpy(_choose(*(t.cpu().numpy() for t in (near, spread, allowed, a)))).to(cost.device)
    column = torch.arange(len(b), device=cost.device)
    mass, level = spread[column, choice], level[column, choice]
    rows = torch.zeros_like(a).index_add_(0, near.flatten(), mass.flatten())
    return replace(point, gradient=a - rows, g=-level, index=near, mass=mass)


def _supports(k: int, width: int) -> Tensor:
    """Return the first k places, and what becomes of them by a swap near the end: `(options, k)`."""
    first = torch.arange(k)
    swaps = [first]
    for leaving in range(max(0, k - REACH), k):
        for entering in range(k, width):
            swaps.append(torch.where(first == leaving, entering, first))
    return torch.stack(swaps)


def _choose(near: NDArray, mass: NDArray, allowed: NDArray, a: NDArray) -> NDArray:
    """Return the option of every column, `(m,)`, of `mass: (m, options, width)` at the rows `near: (m, width)`."""
    choice = allowed.argmax(1)
    lacking = a.copy()
    np.subtract.at(lacking, near, mass[np.arange(len(near)), choice])
    columns = (allowed.sum(1) > 1).nonzero()[0]
    for _ in range(SWEEPS):
        before = choice.copy()
        for j in columns:
            rows, options = near[j], mass[j]
            without = lacking[rows] + options[choice[j]]
            error = np.where(allowed[j], np.abs(without - options).sum(1), np.inf)
            best = error.argmin()
            if error[best] < error[choice[j]] - 1e-12:
                choice[j] = best
                lacking[rows] = without - options[best]
        if np.array_equal(choice, before):
            break
    return choice
