"""Entropic optimal transport: which iteration, in which precision, on which kernel."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.ot.entropic.blocks import Walk
from pushforward.ot.entropic.certify import certify
from pushforward.ot.entropic.choice import transform_of
from pushforward.ot.entropic.loop import State, iterate
from pushforward.ot.entropic.multiscale import MOST, descend, quick_potential
from pushforward.ot.entropic.plan import EntropicPlan
from pushforward.ot.entropic.transform import DenseTransform
from pushforward.ot.problem import Problem

__all__ = ["Iteration", "entropic"]

FEW = 300
"""Sweeps after which `auto` turns to Newton's method, whose steps do not mind weakly connected points."""

HELD = 1 << 25
"""Costs that are held at most."""

FLAT = 8
"""Dimensions up to which costs are soon computed, and boxes around points tell far from near."""

Iteration: TypeAlias = Literal["auto", "sinkhorn", "newton"]

SINGLE = 3e-6
"""Marginal error down to which a kernel in single precision is good enough (potentials are always in double)."""


def entropic(
    problem: Problem, epsilon: float, tolerance: float, max_iterations: int, iteration: Iteration, init: Tensor | None
) -> EntropicPlan:
    """Minimise `<P, C> + epsilon KL(P | a b^T)` under the problem's marginal rules.

    - `sinkhorn`: over-relaxed sweeps until the L1 error of the marginals is within `tolerance`, on a kernel matrix
      (with absorbed potentials), or streamed from the points where there is no room for one.
    - `newton`: a ladder of regularisations, truncated kernels, sparse Newton steps; balanced single problems only.
    - `auto`: `newton` where the kernel is sparse enough for it to pay, else `sinkhorn`; `newton` again where a few
      hundred sweeps do not suffice.

    Potentials are in double precision throughout. `init: (..., m)` is a column potential to start from; without it, a
    quick ladder makes one, which `iterations` counts and `max_iterations` does not limit. Balanced plans are certified
    by a pass over all costs. Warns with `ConvergenceWarning`, with the figures, when `max_iterations` did not suffice.
    """
    inner = _held(problem.detached().to(torch.float64))
    alone = inner.balanced and not inner.batch
    if iteration == "newton" and not alone:
        raise InputError("method='newton' solves one balanced problem: use method='sinkhorn' for batches and marginals")
    if not alone:
        start = None if init is None else State(torch.zeros_like(inner.a), init.detach().double())
        return _plan(
            problem, "sinkhorn", epsilon, _sinkhorn(inner, epsilon, tolerance, max_iterations, start), tolerance
        )
    part, keep_a, keep_b = _with_mass(inner)
    start = None if init is None else State(torch.zeros_like(part.a), init.detach().double()[keep_b])
    method, state = _balanced(part, epsilon, tolerance, max_iterations, iteration, start)
    return _plan(problem, method, epsilon, _extend(inner, state, keep_a, keep_b, epsilon), tolerance)


def _held(problem: Problem) -> Problem:
    """Return the problem with its cost matrix made, where that costs more than reading it.

    In few dimensions it does not, and boxes around the points tell which parts of it may be left out.
    """
    if isinstance(problem.cost, Tensor) or problem.points()[0].shape[-1] <= FLAT:
        return problem
    room = math.prod(problem.batch) * math.prod(problem.shape) <= HELD
    return replace(problem, cost=problem.dense()) if room else problem


def _balanced(
    problem: Problem, epsilon: float, tolerance: float, limit: int, iteration: Iteration, start: State | None
) -> tuple[str, State]:
    """Solve one balanced problem; tell by what."""
    done = start
    if iteration != "sinkhorn":
        done = descend(problem, epsilon, tolerance, limit, start, at_any_price=iteration == "newton")
        if done.error < math.inf:
            return "newton", done
    patient = iteration == "sinkhorn" or math.prod(problem.shape) > MOST
    done = _sinkhorn(problem, epsilon, tolerance, limit if patient else min(FEW, limit), done)
    if patient or done.error <= tolerance or limit <= FEW:
        return "sinkhorn", done
    return "newton", descend(problem, epsilon, tolerance, limit, done, at_any_price=True)


def _sinkhorn(problem: Problem, epsilon: float, tolerance: float, limit: int, start: State | None) -> State:
    """Sweep in single precision as far as that carries, then in double; certify balanced plans."""
    done = _start(problem, epsilon) if start is None else start
    if not problem.balanced:
        transform = transform_of(problem, epsilon, torch.float64)
        return iterate(transform, problem, done.g, tolerance=tolerance, max_iterations=limit)
    limit += done.iterations
    for dtype in (torch.float32, torch.float64):
        transform, left = transform_of(problem, epsilon, dtype), limit - done.iterations
        coarsest = max(SINGLE, transform.resolution) if dtype == torch.float32 else 0.0
        enough = max(tolerance / 2, coarsest)
        done = iterate(transform, problem, done.g, tolerance=enough, max_iterations=left).after(done)
        if enough > tolerance:
            continue
        f, error = certify(Walk(problem), done.f, done.g, epsilon)
        done = replace(done, f=f, error=error)
        if error <= tolerance:
            break
    return done


def _start(problem: Problem, epsilon: float) -> State:
    """Return potentials to start from: those of a quick ladder for balanced problems, else zero."""
    if problem.balanced:
        return quick_potential(problem, epsilon)[0]
    return State(torch.zeros_like(problem.a), torch.zeros_like(problem.b))


def _with_mass(problem: Problem) -> tuple[Problem, Tensor, Tensor]:
    """Return the problem of the points that have mass, and the masks that choose them."""
    keep_a, keep_b = problem.a > 0, problem.b > 0
    if bool(keep_a.all()) and bool(keep_b.all()):
        return problem, keep_a, keep_b
    x = None if problem.x is None else problem.x[keep_a]
    y = None if problem.y is None else problem.y[keep_b]
    cost = problem.cost[keep_a][:, keep_b] if isinstance(problem.cost, Tensor) else problem.cost
    return replace(problem, a=problem.a[keep_a], b=problem.b[keep_b], x=x, y=y, cost=cost), keep_a, keep_b


def _extend(problem: Problem, state: State, keep_a: Tensor, keep_b: Tensor, epsilon: float) -> State:
    """Give the points without mass their potentials too, the soft conjugates."""
    if bool(keep_a.all()) and bool(keep_b.all()):
        return state
    g = torch.zeros_like(problem.b).masked_scatter(keep_b, state.g)
    f, _ = certify(Walk(problem), torch.zeros_like(problem.a), g, epsilon)
    return replace(state, f=f, g=torch.where(keep_b, g, DenseTransform(problem, epsilon).columns(f)))


def _plan(problem: Problem, method: str, epsilon: float, state: State, tolerance: float) -> EntropicPlan:
    """Return the plan of a state, its potentials centred where the constant between them is free."""
    f, g = state.f, state.g
    if problem.balanced:
        a, b = problem.a.detach(), problem.b.detach()
        shift = ((a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)) / 2
        f, g = f - shift, g + shift
    converged = state.error <= tolerance
    if not converged:
        warnings.warn(
            f"{method} stopped after {state.iterations} iterations with a marginal error of {state.error:.2e}, "
            f"wanted {tolerance:.2e}: raise max_iterations, epsilon (now {epsilon:g}) or tolerance",
            ConvergenceWarning,
            stacklevel=5,
        )
    return EntropicPlan(problem, method, state.iterations, converged, epsilon, f, g, state.history)
