"""Small regularisations fast: a coarse ladder of Sinkhorn sweeps, then Newton steps on a truncated kernel.

The leading ideas of the fastest solvers put together: coarse-to-fine ladders with kernels that become sparse
(Schmitzer 2019), and sparse Newton steps at the end (Tang et al. 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.certify import certify
from pushforward.ot.entropic.choice import transform_of
from pushforward.ot.entropic.loop import State, anneal, ladder
from pushforward.ot.entropic.newton import newton
from pushforward.ot.entropic.sparse import Candidates, SparseTransform, screen
from pushforward.ot.entropic.transform import DenseTransform
from pushforward.ot.problem import Problem

__all__ = ["descend", "quick_potential", "residual"]

COARSE = 0.01
"""Regularisation, in units of the cost's spread, at which the ladder of dense sweeps ends."""

SUBSET, LOW_DIMENSION = 1024, 6
"""Points of the subset on which the ladder is followed where the potentials of so few dimensions carry over."""

FACTOR = 4
"""Ratio of neighbouring regularisations on the ladder."""

SWEEPS = 6
"""Sweeps on each rung of the quick ladder."""

SAFE = 6.0
"""Exponent by which potentials may move before a pair outside the truncated kernel could matter."""

FIRST = 6.0
"""The same, in addition, for the potentials of the quick ladder."""

MOST = 50_000_000
"""Pairs of the largest truncated kernel: about a gigabyte with what Newton's method makes of them."""

STEPS = 20
"""Newton steps on each rung but the last, at most."""

SAMPLE = 256
"""Rows and columns from which the spread of the cost is estimated."""


def descend(
    problem: Problem, epsilon: float, tolerance: float, max_iterations: int, start: State | None, *, at_any_price: bool
) -> State:
    """Return potentials within `tolerance`; where too many pairs matter, some of infinite error to start sweeps from.

    With `at_any_price` no number of pairs is too many. Solves a single balanced problem in float64. A ladder of
    regularisations ends at `epsilon` (a `start` is taken to be there already); on each rung a truncated kernel holds
    all pairs that may matter, screened from all costs on the first and from the rung before on the others. A pass over
    all that may matter certifies the end; where it finds that pairs were missing, they are screened anew.
    """
    done, at = quick_potential(problem, epsilon) if start is None else (start, epsilon)
    n, m = problem.shape
    search = _Search(
        problem, Walk(problem), SAFE + math.log(10 / tolerance), n * m if at_any_price else min(n * m // 2, MOST)
    )
    kept, pairs = search.reach + FIRST, None
    for rung in ladder(at, epsilon, 1 + math.ceil(math.log(at / epsilon) / math.log(FACTOR))):
        if pairs is None:
            done = _conjugate(search.walk, done, rung)
            pairs = search.screen(done.f, done.g, rung, kept)
        if pairs is None and rung > epsilon:
            done = anneal(transform_of(problem, rung, torch.float32), problem, done.g, [rung], SWEEPS).after(done)
        if pairs is None:
            continue
        if start is None:
            transform = SparseTransform(pairs, problem.a, problem.b, rung)
            done = anneal(transform, problem, done.g, [rung], SWEEPS).after(done)
        if rung > epsilon:
            coarse = min(0.02, 0.5 * float(problem.b.min()))
            done, pairs = search.settle(pairs, done, rung, coarse, STEPS, kept)
            kept = 2 * search.reach
            pairs = pairs.within(done.f, done.g, kept * rung / FACTOR)
    if pairs is None:
        return replace(done, error=math.inf)
    limit = done.iterations + max_iterations
    while True:
        done, pairs = search.settle(pairs, done, epsilon, tolerance / 2, limit - done.iterations, kept)
        f, error = certify(search.walk, done.f, done.g, epsilon, search.reach)
        done, settled = replace(done, f=f, error=error), done.error
        if error <= tolerance or done.iterations >= limit or settled > tolerance:
            return done
        pairs, kept = search.screen(f, done.g, epsilon, search.reach) or pairs, search.reach


@dataclass(frozen=True)
class _Search:
    """Newton's method on truncated kernels that follow the potentials.

    Pairs are kept up to the exponent `reach`, of which `SAFE` is for movements of the potentials.
    """

    problem: Problem
    walk: Walk
    reach: float
    most: int

    def screen(self, f: Tensor, g: Tensor, epsilon: float, kept: float) -> Candidates | None:
        """Return the pairs up to the exponent `kept` of potentials that are about conjugate; None if too many."""
        n, m = self.problem.shape
        rows = torch.linspace(0, n - 1, min(SAMPLE, n), device=f.device).long()
        near = self.problem.rows(rows) - f[rows].unsqueeze(-1) - g < kept * epsilon
        if float(near.float().mean()) * n * m > 1.2 * self.most:  # a sample says so before all costs are looked at
            return None
        return screen(self.walk, f, g, kept * epsilon, self.most)

    def settle(
        self, pairs: Candidates, state: State, epsilon: float, tolerance: float, steps: int, kept: float
    ) -> tuple[State, Candidates]:
        """Make Newton steps until `tolerance`, on pairs `kept` up to that exponent.

        Where potentials have moved so far that others could matter, pairs are screened anew.
        """
        limit = state.iterations + steps
        while True:
            transform = SparseTransform(pairs, self.problem.a, self.problem.b, epsilon)
            left = limit - state.iterations
            allowance = max(SAFE, kept - math.log(10 / tolerance)) * epsilon
            done = newton(
                transform, self.problem, state.g, tolerance=tolerance, max_iterations=left, allowance=allowance
            )
            state, stuck = done.after(state), done.iterations == 0
            if state.error <= tolerance or state.iterations >= limit or stuck:
                return state, pairs
            f, _ = certify(self.walk, state.f, state.g, epsilon)
            pairs, kept = self.screen(f, state.g, epsilon, self.reach) or pairs, self.reach


def quick_potential(problem: Problem, epsilon: float) -> tuple[State, float]:
    """Return nearly optimal potentials and the regularisation they belong to, from quick sweeps in single precision."""
    part = _subset(problem).to(torch.float32)
    g, spread = residual(part)
    at = max(epsilon, COARSE * spread)
    if not 0 < at < 0.25 * spread:
        return State(torch.zeros_like(problem.a), residual(problem)[0]), epsilon
    rungs = ladder(0.5 * spread, at, max(2, 1 + round(math.log(0.5 * spread / at) / math.log(FACTOR))))
    state = anneal(transform_of(part, at, torch.float32), part, g, rungs, SWEEPS)
    if part.shape != problem.shape:
        whole = problem.to(torch.float32)
        g = DenseTransform(replace(part, y=whole.y, b=whole.b), at).columns(state.f)
        f = DenseTransform(replace(part, x=whole.x, a=whole.a), at).rows(state.g)
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
    n = problem.shape[0]
    rows = torch.linspace(0, n - 1, min(SAMPLE, n), device=problem.a.device).long()
    some = problem.rows(rows).to(problem.a.dtype)
    g = some.mean(-2)
    rest = some - g.unsqueeze(-2)
    rest = rest - rest.mean(-1, keepdim=True)
    return g - g.mean(-1, keepdim=True), float(rest.square().mean((-2, -1)).sqrt().max())
