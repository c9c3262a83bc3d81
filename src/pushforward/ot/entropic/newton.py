"""Newton's method on the semi-dual, its linear systems by conjugate gradients with a sparsified Hessian."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.ot.entropic.conjugate_gradients import Preconditioner, conjugate_gradients
from pushforward.ot.entropic.loop import State
from pushforward.ot.entropic.pairs import Candidates, Matrix
from pushforward.ot.entropic.sparse import SparseTransform
from pushforward.ot.problem import Problem

__all__ = ["newton"]

KEPT = 1e-4
"""Share of its row below which an entry of the plan is left out of the Hessian; less, where the error is small."""

LARGE = 0.1
"""Share of its row above which an entry takes part in the preconditioner."""

LONGEST = 8.0
"""Longest move of a potential in one step, in units of epsilon: a quadratic model knows nothing farther away."""

SOLVES = 200
"""Conjugate-gradient iterations of one Newton step at most."""


def newton(
    transform: SparseTransform, problem: Problem, g: Tensor, *, tolerance: float, max_iterations: int,
    allowance: float = math.inf,
) -> State:  # fmt: skip
    """Maximise the semi-dual `D(g) = a.f(g) + b.g`, f being the soft conjugate of g, from the column potential `g`.

        grad D = b - c,    -Hess D = (diag(c) - P^T diag(1/a) P) / epsilon,    c = P^T 1

    The plan's rows are exact throughout; the L1 error is that of its columns. Small entries of P are left out of the
    Hessian (its diagonal keeps them), which makes the products of the conjugate gradients cheap; a line search makes
    every step an ascent. Ends early where `f_i + g_j` may have risen by more than `allowance`.

    Source: Tang, Shavlovsky, Rahmanian, Tardini, Thekumparampil, Xiao and Ying, *Accelerating Sinkhorn Algorithm with
    Sparse Newton Iterations* (2024).
    """
    point, damping = _evaluate(transform, problem, g), 1e-3
    start, history, risen = point, [(0, point.error)], 0.0
    while point.error > tolerance and len(history) <= max_iterations and damping < 1e6 and risen <= allowance:
        direction = _direction(transform, problem, point, damping * min(point.error, 1.0))
        step, new = _line_search(transform, problem, point, direction)
        if step > 0:
            point = new
            history.append((len(history), point.error))
            risen = float((point.f - start.f).max() + (point.g - start.g).max())
        damping = max(damping / 10, 1e-3) if step == 1 else damping * 10 if step == 0 else damping * 3
    return State(point.f, point.g, len(history) - 1, point.error, tuple(history))


@dataclass(frozen=True)
class _Point:
    """A column potential and what follows: the one after a Sinkhorn sweep, column sums, the semi-dual, the error."""

    f: Tensor
    g: Tensor
    swept: Tensor
    columns: Tensor
    dual: float
    error: float


def _evaluate(transform: SparseTransform, problem: Problem, g: Tensor) -> _Point:
    f = transform.rows(g)
    swept = transform.columns(f)
    columns = problem.b * torch.exp((g - swept) / transform.epsilon)
    dual = float(problem.a @ f + problem.b @ g)
    error = float((columns - problem.b).abs().sum())
    return _Point(f, g, swept, columns, dual, error if math.isfinite(error) else math.inf)


def _direction(transform: SparseTransform, problem: Problem, point: _Point, ridge: float) -> Tensor:
    """Solve `-Hess D d = grad D` about as exactly as the error deserves."""
    shares = transform.shares(point.f, point.g, least=min(KEPT, 0.1 * point.error))
    plan, a = Matrix(shares, shares.costs), problem.a
    diagonal = point.columns + ridge * problem.b + 1e-14 * problem.b.mean()
    found = conjugate_gradients(
        lambda w: diagonal * w - plan.transpose_apply(a * plan.apply(w)), problem.b - point.columns,
        _factorised(shares, a, diagonal), tolerance=max(min(0.1, point.error), 1e-4), max_iterations=SOLVES,
    ).x  # fmt: skip
    found = found - found.median()  # constants have no effect
    return transform.epsilon * found.clamp(-LONGEST, LONGEST)


def _factorised(shares: Candidates, a: Tensor, diagonal: Tensor) -> Preconditioner:
    """Return the inverse of the Hessian of the largest entries only: a preconditioner that knows who is tied to whom.

    With one or two partners a row, its factors have hardly more entries than itself. Off the CPU, the diagonal's.
    """
    if a.device.type != "cpu":
        return diagonal
    from scipy.sparse import diags_array  # a fifth of a second, which only this needs
    from scipy.sparse.linalg import splu

    large = shares.where(shares.costs > LARGE)
    root = replace(large, costs=large.costs * a.sqrt().index_select(0, large.i))
    part = Matrix(root, root.costs).forward
    hessian = (diags_array(diagonal.numpy()) - part.T @ part).tocsc()
    factors = splu(hessian, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return lambda residual: torch.from_numpy(factors.solve(residual.numpy()))


def _line_search(
    transform: SparseTransform, problem: Problem, point: _Point, direction: Tensor
) -> tuple[float, _Point]:
    """Halve the step a few times until the dual has risen by its due; return it (0 if it never did) and the new point.

    A Sinkhorn sweep follows: it lifts at once, by a logarithm, columns that got far too little mass, to which Newton's
    method answers with steps that are exponentially too long.
    """
    slope = float((problem.b - point.columns) @ direction)
    noise = 1e-14 * (1 + abs(point.dual))
    for step in (1.0, 0.5, 0.25, 0.125):
        new = _evaluate(transform, problem, point.g + step * direction)
        if new.dual >= point.dual + 1e-4 * step * slope - noise and new.error < math.inf:
            return step, _evaluate(transform, problem, new.swept)
    return 0.0, point
