"""Small regularisations fast: a coarse ladder of Sinkhorn sweeps, then Newton steps on a truncated kernel.

The leading ideas of the fastest solvers put together: coarse-to-fine ladders with kernels that become sparse
(Schmitzer 2019), and sparse Newton steps at the end (Tang et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.cells import LOW_DIMENSION
from pushforward.ot.entropic.certify import certify
from pushforward.ot.entropic.choice import transform_of
from pushforward.ot.entropic.fused import transform_of_points
from pushforward.ot.entropic.loop import State, anneal, ladder
from pushforward.ot.entropic.search import Search, some_rows
from pushforward.ot.problem import Problem

__all__ = ["descend", "quick_potential", "residual"]

COARSE = 0.01
"""Regularisation, in units of the cost's spread, at which the ladder of dense sweeps ends."""

SUBSET = 1024
"""Points of the subset on which the ladder is followed where the potentials of few dimensions carry over."""

FACTOR = 4
"""Ratio of neighbouring regularisations on the ladder."""

SWEEPS = 6
"""Sweeps on each rung of the quick ladder."""

MOST = 50_000_000
"""Pairs of all points up to which Newton's method may be tried at any price."""

ROOM = 14_000_000
"""Pairs of the largest truncated kernel otherwise: 400 megabytes, with what Newton's method makes of them."""

STEPS = 20
"""Newton steps on each rung but the last, at most."""


def descend(
    problem: Problem, epsilon: float, tolerance: float, max_iterations: int, start: State | None, *, at_any_price: bool
) -> State:
    """Return potentials within `tolerance`; where too many pairs matter, some of infinite error to start sweeps from.

    With `at_any_price` no number of pairs is too many. Solves a single balanced problem in float64. A ladder of
    regularisations ends at `epsilon` (a `start` is taken to be there already); on each rung a truncated kernel holds
    all pairs that may matter, screened from all costs on the first and from the rung before on the others. A pass over
    all that may matter certifies the end; where it finds that pairs were missing, they are screened anew.
    """
    n, m = problem.shape
    walk, most = Walk(problem), n * m if at_any_price else min(n * m // 2, ROOM)
    if walk.cells is None:
        return _descend(Search(walk, tolerance, most), epsilon, max_iterations, start)
    # what is near in space is near in memory
    i, j = walk.cells.source.order, walk.cells.target.order
    start = None if start is None else replace(start, f=start.f[i], g=start.g[j])
    done = _descend(Search(Walk(walk.cells.problem), tolerance, most), epsilon, max_iterations, start)
    f, g = torch.empty_like(done.f), torch.empty_like(done.g)
    return replace(done, f=f.index_copy_(0, i, done.f), g=g.index_copy_(0, j, done.g))


def _descend(search: Search, epsilon: float, max_iterations: int, start: State | None) -> State:
    problem = search.problem
    done, at = quick_potential(problem, epsilon) if start is None else (start, epsilon)
    rungs = ladder(at, epsilon, 1 + math.ceil(math.log(at / epsilon) / math.log(FACTOR)))
    for rung, following in pairwise([*rungs[:-1], epsilon, 0.0]):
        if search.pairs is None:
            if len(rungs) == 1 and not search.has_room(done.g, rung):
                break
            done = _conjugate(search.walk, done, rung)
            search.begin(done.f, done.g, rung)
        if search.pairs is None and len(rungs) == 1:
            break
        if start is None:
            done = anneal(search.transform(rung, done), problem, done.g, [rung], SWEEPS).after(done)
        if search.pairs is not None and rung != epsilon:
            done = search.settle(done, rung, min(0.02, 0.5 * float(problem.b.min())), STEPS)
            search.narrow(done.f, done.g, following)
    if search.pairs is None and len(rungs) > 1:  # better potentials may have made them fewer
        search.begin(done.f, done.g, epsilon)
    return replace(done, error=math.inf) if search.pairs is None else search.finish(done, epsilon, max_iterations)


def quick_potential(problem: Problem, epsilon: float) -> tuple[State, float]:
    """Return nearly optimal potentials and the regularisation they belong to, from quick sweeps in single precision."""
    part = _subset(problem)
    g, spread = residual(part)
    at = max(epsilon, COARSE * spread)
    if not 0 < at < 0.25 * spread:
        return State(torch.zeros_like(problem.a), g if part is problem else residual(problem)[0]), epsilon
    part = part.to(torch.float32)
    rungs = ladder(0.5 * spread, at, max(2, 1 + round(math.log(0.5 * spread / at) / math.log(FACTOR))))
    state = anneal(transform_of(part, at, torch.float32), part, g.to(torch.float32), rungs, SWEEPS)
    if part.shape != problem.shape:
        whole = problem.to(torch.float32)
        g = transform_of_points(replace(part, y=whole.y, b=whole.b), at).columns(state.f)
        f = transform_of_points(replace(part, x=whole.x, a=whole.a), at).rows(state.g)
        state = replace(state, f=f, g=g)
    return replace(state, f=state.f.to(problem.a.dtype), g=state.g.to(problem.a.dtype)), at


def _conjugate(walk: Walk, state: State, epsilon: float) -> State:
    """Return the state with an f: what it has, or the conjugate of g where it has none."""
    if bool(state.f.any()):
        return state
    return replace(state, f=certify(walk, state.f, state.g, epsilon)[0])


def _subset(problem: Problem) -> Problem:
    """Return the problem, or one with every k-th of its points where few dimensions make that good enough."""
    n, m = problem.shape
    x, y = problem.x, problem.y
    if (
        x is None
        or y is None
        or isinstance(problem.cost, Tensor)
        or x.shape[-1] > LOW_DIMENSION
        or min(n, m) < 2 * SUBSET
    ):
        return problem
    i, j = (torch.linspace(0, k - 1, SUBSET, device=x.device).long() for k in (n, m))
    a, b = problem.a[i], problem.b[j]
    return replace(problem, x=x[i], y=y[j], a=a / a.sum(), b=b / b.sum())


def residual(problem: Problem) -> tuple[Tensor, float]:
    """Return the column potential that is optimal for infinite epsilon, and the spread of what remains of the cost.

    Parts of the cost that depend on one index only (a shift of one cloud, for example) do not influence a balanced
    plan; the spread of the rest is the natural unit of epsilon. Both are estimated from a few rows and columns.
    """
    some = problem.rows(some_rows(problem)).to(problem.a.dtype)
    g = some.mean(-2)
    rest = some - g.unsqueeze(-2)
    rest = rest - rest.mean(-1, keepdim=True)
    return g - g.mean(-1, keepdim=True), float(rest.square().mean((-2, -1)).sqrt().max())
