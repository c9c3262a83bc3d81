"""Entropic transport with the source spread over processes: each holds some of its rows, and all of the target."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.ot.entropic.fused import transform_of_points
from pushforward.ot.entropic.loop import State, anneal, iterate, ladder
from pushforward.ot.entropic.plan import EntropicPlan
from pushforward.ot.entropic.transform import SoftTransform
from pushforward.ot.problem import Array, Problem, pose

__all__ = ["ShardedTransform", "solve_sharded"]

T = TypeVar("T")
Group: TypeAlias = "dist.ProcessGroup | None"

SAMPLE = 1 << 22
"""Entries of the cost from which a process estimates where to start."""

SWEEPS, FACTOR = 3, 4
"""Sweeps on each rung of the ladder to the regularisation asked for, and the ratio of neighbouring rungs."""


class ShardedTransform(SoftTransform):
    """The conjugates of a problem whose source points are spread over the processes of a group.

    `inner` is the transform of this process's rows; its weights are their share of the whole. Potentials of the source
    are local, those of the target the same everywhere: the conjugates `g_r` of the shards merge as

        g_j = -epsilon log sum_r exp(-g_rj / epsilon)

    at the price of one exchange of `m` numbers (twice: the smallest, then the sum). `group` is the default one unless
    given.
    """

    def __init__(self, inner: SoftTransform, group: Group = None) -> None:
        self.inner, self.epsilon, self.group = inner, inner.epsilon, group

    def at(self, epsilon: float) -> ShardedTransform:
        """Return the transform of the same problem at another regularisation."""
        return ShardedTransform(self.inner.at(epsilon), self.group)

    def rows(self, g: Tensor) -> Tensor:
        """Return the conjugate of `g` at this process's rows."""
        return self.inner.rows(g)

    def columns(self, f: Tensor) -> Tensor:
        """Return the conjugate of every process's `f`."""
        g = self.inner.columns(f)
        low = _reduced(g, dist.ReduceOp.MIN, self.group)
        total = _reduced(((low - g) / self.epsilon).exp(), dist.ReduceOp.SUM, self.group)
        return low - self.epsilon * total.log()

    def total(self, values: Tensor) -> Tensor:
        """Sum over all source points of all processes."""
        return _reduced(values.sum(-1), dist.ReduceOp.SUM, self.group)


@dataclass(frozen=True)
class _Options:
    """What was asked for, which has to be the same on every process."""

    epsilon: float
    tolerance: float | None
    max_iterations: int

    def check(self) -> None:
        """Raise `InputError` for options that are impossible."""
        if not 0 < self.epsilon < math.inf:
            raise InputError(f"epsilon must be positive and finite, got {self.epsilon}")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise InputError(f"tolerance must lie between 0 and 1, got {self.tolerance}")
        if self.max_iterations < 1:
            raise InputError(f"max_iterations must be at least 1, got {self.max_iterations}")

    def numbers(self) -> list[float]:
        """Return the options as numbers, for comparing."""
        return [self.epsilon, self.tolerance or 0, self.max_iterations]


@torch.no_grad()
def solve_sharded(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    cost: Cost = SquaredEuclidean(),
    epsilon: float,
    tolerance: float | None = None,
    max_iterations: int = 10_000,
    group: Group = None,
) -> EntropicPlan:
    """Solve one entropic problem together with the other processes of a `torch.distributed` group.

        minimise <P, C> + epsilon KL(P | a b^T)   over   P >= 0,  P 1 = a,  P^T 1 = b

    Every process calls it with its own source points `x: (n_r, d)` and their weights `a: (n_r,)`, which sum to one over
    all processes (uniform unless given), and with the same target `y: (m, d)`, `b: (m,)`. Memory is linear in the
    points; no process ever sees another's. `tolerance` bounds the L1 error of the marginals (by default 1e-6, and
    1e-4 for float32).

    The plan that comes back covers this process's rows of P: `f: (n_r,)` is local, `g: (m,)` the same everywhere,
    centred so that `a.f = b.g` over all processes. `apply`, `barycentric_map`, `rows`, `potential` and `extended_map`
    are those of these rows; `value`, `transpose_apply` and `marginals()[1]` are this process's share, to be summed over
    the processes. `objective` and the certificates need all rows and mean nothing here; `history` ends with the error.

    Raises `InputError` on every process if one was given bad input; warns with `ConvergenceWarning`, with the figures,
    where the tolerance was not reached.
    """
    if not dist.is_available() or not dist.is_initialized():
        raise InputError("solve_sharded runs inside a process group: call torch.distributed.init_process_group first")
    problem = _pose_together(x, y, a, b, cost, _Options(epsilon, tolerance, max_iterations), group)
    default = 1e-4 if problem.a.dtype == torch.float32 else 1e-6
    tolerance = default if tolerance is None else tolerance
    inner = problem.detached().to(torch.float64)
    transform, (g, rungs) = _transform(inner, epsilon, tolerance, group), _start(inner, epsilon, group)
    warm = anneal(transform, inner, g, rungs, SWEEPS)
    state = iterate(transform, inner, warm.g, tolerance=tolerance, max_iterations=max_iterations).after(warm)
    return _plan(problem, transform, state, tolerance)


def _transform(problem: Problem, epsilon: float, tolerance: float, group: Group) -> ShardedTransform:
    """Return a transform in single precision if that resolves the tolerance on every process, else in double."""
    single = transform_of_points(problem, epsilon, torch.float32)
    coarsest = _reduced(problem.a.new_tensor(single.resolution), dist.ReduceOp.MAX, group)
    if float(coarsest) < tolerance / 4:
        return ShardedTransform(single, group)
    return ShardedTransform(transform_of_points(problem, epsilon, torch.float64), group)


def _start(problem: Problem, epsilon: float, group: Group) -> tuple[Tensor, list[float]]:
    """Return the column potential that is optimal for infinite epsilon, and a ladder down to twice `epsilon`.

    Both are estimated from a few rows of every process; the ladder starts at half the cost's spread.
    """
    n, m = problem.shape
    some = problem.rows(torch.linspace(0, n - 1, max(1, min(n, 256, SAMPLE // m)), device=problem.a.device).long())
    g = _mean(some.mean(0), group)
    rest = some - g
    spread = math.sqrt(float(_mean((rest - rest.mean(1, keepdim=True)).square().mean(), group)))
    if epsilon >= 0.25 * spread:
        return g - g.mean(), []
    rungs = max(2, round(math.log(spread / epsilon) / math.log(FACTOR)))
    return g - g.mean(), ladder(0.5 * spread, 2 * epsilon, rungs)


def _plan(problem: Problem, transform: ShardedTransform, state: State, tolerance: float) -> EntropicPlan:
    shift = (transform.total(problem.a * state.f) - (problem.b * state.g).sum()) / 2
    converged = state.error <= tolerance
    if not converged:
        warnings.warn(
            f"solve_sharded stopped after {state.iterations} iterations with a marginal error of {state.error:.2e}, "
            f"wanted {tolerance:.2e}: raise max_iterations, epsilon (now {transform.epsilon:g}) or tolerance",
            ConvergenceWarning,
            stacklevel=4,
        )
    return EntropicPlan(
        problem, "sinkhorn", state.iterations, converged, transform.epsilon, state.f - shift, state.g + shift,
        state.history,
    )  # fmt: skip


def _pose_together(
    x: Array, y: Array, a: Array | None, b: Array | None, cost: Cost, options: _Options, group: Group
) -> Problem:
    """Return the problem of this process's rows, its weights their share of the whole; checked on all processes."""
    here = torch.zeros((), dtype=torch.float64, device=x.device if isinstance(x, Tensor) else None)
    problem, share = _together(lambda: _pose(x, y, a, b, cost, options), here, group)
    whole = float(_reduced(here + share, dist.ReduceOp.SUM, group))
    _, y = problem.points()
    same = [*y.shape, float(y.double().sum()), float(problem.b.double().sum()), a is None, *options.numbers()]
    low, high = (_reduced(here.new_tensor(same), op, group) for op in (dist.ReduceOp.MIN, dist.ReduceOp.MAX))
    if not torch.equal(low, high):
        raise InputError("y, b and all options must be the same on every process, and a be given to all or none")
    if a is not None and abs(whole - 1) > 1e-4:
        raise InputError(f"a sums to {whole:.6g} over all processes, wanted 1: divide it by its sum")
    return replace(problem, a=problem.a * (share / whole))


def _pose(x: Array, y: Array, a: Array | None, b: Array | None, cost: Cost, options: _Options) -> tuple[Problem, float]:
    """Return the problem of this process's rows as one of its own, and what its weights count."""
    options.check()
    weights = None if a is None else torch.as_tensor(a).double()
    share = 1.0 if weights is None else float(weights.sum())
    if not 0 < share < math.inf:
        raise InputError(f"the weights a of this process sum to {share:g}: every process needs points with mass")
    problem = pose(x, y, None if weights is None else weights / share, b, cost)
    if problem.batch or isinstance(cost, Tensor):
        raise InputError("solve_sharded takes one problem, of points (n, d) and (m, d) and a Cost")
    return problem, problem.shape[0] if weights is None else share


def _together(function: Callable[[], T], here: Tensor, group: Group) -> T:
    """Return `function()`; where it refuses its input on one process, raise on all, for the others would wait."""
    result, error = None, None
    try:
        result = function()
    except InputError as refusal:
        error = refusal
    failed = _reduced(here + (error is not None), dist.ReduceOp.SUM, group)
    if error is not None:
        raise error
    if bool(failed):
        raise InputError("another process was given bad input: its error says which")
    return cast(T, result)


def _mean(value: Tensor, group: Group) -> Tensor:
    return _reduced(value, dist.ReduceOp.SUM, group) / dist.get_world_size(group)


def _reduced(value: Tensor, operation: dist.ReduceOp.RedOpType, group: Group) -> Tensor:
    """Return the elementwise sum (or extreme) of a tensor over all processes."""
    result = value.clone()
    dist.all_reduce(result, operation, group)
    return result
