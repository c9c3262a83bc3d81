"""A discrete transport problem: two sets of weighted points and the cost between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import Cost
from pushforward.ot.marginals import KL, AtMost, Exact, Marginal
from pushforward.tensors import as_samples, check_finite, check_same_event

__all__ = ["Array", "Problem", "pose"]

Array: TypeAlias = Tensor | np.ndarray | list

BLOCK = 1 << 23
"""Entries of the cost matrix that a plan's operations hold at once."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Move the masses `a: (..., n)` onto `b: (..., m)`, at a cost between points or between indices.

    `cost` is a `Cost` of the points `x: (..., n, d)` and `y: (..., m, d)`, or the matrix `(..., n, m)` itself (then
    the points are optional). A leading axis, if there is one, counts independent problems. `marginals` says how far
    the plan's sums may stray from `a` and `b`, `mass` how much is moved where a side is `AtMost`.

    Tensors keep their autograd history: solvers work on `detached()`, plans differentiate through the original.
    """

    a: Tensor
    b: Tensor
    cost: Cost | Tensor
    x: Tensor | None = None
    y: Tensor | None = None
    marginals: tuple[Marginal, Marginal] = (Exact(), Exact())
    mass: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points on either side."""
        return self.a.shape[-1], self.b.shape[-1]

    @property
    def batch(self) -> tuple[int, ...]:
        """The leading axis: `(B,)`, or `()` for a single problem."""
        return tuple(self.a.shape[:-1])

    @property
    def balanced(self) -> bool:
        """Whether the plan's sums have to equal the weights on both sides."""
        return all(isinstance(rule, Exact) for rule in self.marginals)

    @property
    def is_assignment(self) -> bool:
        """Whether both sides have as many points, of equal weight: then a permutation is optimal."""
        n, m = self.shape
        return n == m and all(bool((w * n - 1).abs().max() < 1e-6) for w in (self.a, self.b))

    def dense(self) -> Tensor:
        """Return the whole cost matrix `(..., n, m)`."""
        return self.rows(slice(None))

    def rows(self, rows: slice | Tensor) -> Tensor:
        """Return these rows of the cost matrix, `(..., k, m)`."""
        if isinstance(self.cost, Tensor):
            return self.cost[..., rows, :]
        x, y = self.points()
        return self.cost.pairwise(x[..., rows, :], y)

    def columns(self, columns: slice | Tensor) -> Tensor:
        """Return these columns of the cost matrix, `(..., n, k)`."""
        if isinstance(self.cost, Tensor):
            return self.cost[..., columns]
        x, y = self.points()
        return self.cost.pairwise(x, y[..., columns, :])

    def part(self, rows: slice | Tensor, columns: slice | Tensor) -> Problem:
        """Return the single problem between some of its points; its weights need not sum to one."""
        a, b = self.a[rows], self.b[columns]
        if isinstance(self.cost, Tensor):
            return replace(self, a=a, b=b, cost=self.cost[rows][:, columns], x=None, y=None)
        x, y = self.points()
        return replace(self, a=a, b=b, x=x[rows], y=y[columns])

    def aligned(self, i: Tensor, j: Tensor) -> Tensor:
        """Return the cost of each pair of indices `(i_k, j_k)` of a single problem: `(k,)`."""
        if isinstance(self.cost, Tensor):
            return self.cost[i, j]
        x, y = self.points()
        return self.cost.aligned(x[i], y[j])

    def points(self) -> tuple[Tensor, Tensor]:
        """Return `x` and `y`. Raises `InputError` where the problem was posed with a matrix only."""
        if self.x is None or self.y is None:
            raise InputError(
                "this plan was solved from a cost matrix and knows no points: give x and y to solve as well"
            )
        return self.x, self.y

    def slices(self, entries: int | None = None) -> Iterator[slice]:
        """Walk through the rows in blocks of at most about `entries` (of all problems), `BLOCK` unless given."""
        n, m = self.shape
        step = max(1, (BLOCK if entries is None else entries) // (m * math.prod(self.batch)))
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def detached(self) -> Problem:
        """Return the same problem without autograd history."""
        held = {name: getattr(self, name) for name in ("a", "b", "cost", "x", "y")}
        return replace(self, **{name: t.detach() for name, t in held.items() if isinstance(t, Tensor)})

    def to(self, dtype: torch.dtype) -> Problem:
        """Return the same problem in another dtype; a matrix of costs is left as it is, and cast where it is used."""
        cast = {name: getattr(self, name) for name in ("a", "b", "x", "y")}
        return replace(self, **{name: None if value is None else value.to(dtype) for name, value in cast.items()})

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows any of the weights, points or costs."""
        found = (self.a, self.b, self.cost, self.x, self.y)
        return torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in found)

    def single(self, index: int) -> Problem:
        """Return one problem of the leading axis."""
        at = lambda t: t[index] if isinstance(t, Tensor) else t  # noqa: E731
        return replace(self, a=self.a[index], b=self.b[index], cost=at(self.cost), x=at(self.x), y=at(self.y))


def pose(
    x: Array | None,
    y: Array | None,
    a: Array | None,
    b: Array | None,
    cost: Cost | Tensor,
    marginals: tuple[Marginal, Marginal] = (Exact(), Exact()),
    mass: float | None = None,
) -> Problem:
    """Check everything the user gave and return the problem; weights default to uniform, `y` to `x`.

    Raises `InputError` for empty or non-finite input, unlike dimensions, dtypes or devices, weights that are negative,
    or do not sum to one where the plan has to meet them, and a `mass` that cannot be moved.
    """
    x = None if x is None else _points("x", x)
    y = x if y is None else _points("y", y)
    shape, like = _size(x, y, cost)
    relaxed = [isinstance(rule, KL) for rule in marginals]
    unit = mass is None and not any(relaxed)
    problem = Problem(
        _weights("a", a, (*shape[:-2], shape[-2]), like, unit), _weights("b", b, (*shape[:-2], shape[-1]), like, unit),
        cost, x, y, marginals, mass,
    )  # fmt: skip
    _check_mass(problem)
    return problem


def _points(name: str, x: Array) -> Tensor:
    x = as_samples(name, x)
    if x.ndim > 3:
        raise InputError(
            f"{name} has shape {tuple(x.shape)}, wanted points (n, d) or problems of points (B, n, d): "
            "flatten the events, x.flatten(1)"
        )
    return x


def _size(x: Tensor | None, y: Tensor | None, cost: Cost | Tensor) -> tuple[tuple[int, ...], Tensor]:
    if isinstance(cost, Tensor):
        return _matrix_size(x, y, cost), cost
    if not isinstance(cost, Cost):
        raise InputError(
            f"cost must be a Cost, for example SquaredEuclidean(), or an (n, m) tensor, got {type(cost).__name__}"
        )
    if x is None or y is None:
        raise InputError("solve needs the points x (and y), or the matrix of costs: solve(cost=matrix)")
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} but y is {y.dtype} on {y.device}: both must agree")
    check_same_event("x", x.shape[-1:], "y", y.shape[-1:])
    if x.shape[:-2] != y.shape[:-2]:
        raise InputError(f"x is {tuple(x.shape)} but y is {tuple(y.shape)}: both must hold as many problems (B, n, d)")
    return (*x.shape[:-1], y.shape[-2]), x


def _matrix_size(x: Tensor | None, y: Tensor | None, cost: Tensor) -> tuple[int, ...]:
    if cost.ndim not in (2, 3) or cost.numel() == 0 or not cost.is_floating_point():
        raise InputError(
            "the cost matrix must be a floating tensor (n, m), or (B, n, m) for many problems, "
            f"got {cost.dtype} of shape {tuple(cost.shape)}"
        )
    check_finite("the cost matrix", cost)
    n, m = cost.shape[-2:]
    for points, size in ((x, n), (y, m)):
        if points is not None and points.shape[:-1] != (*cost.shape[:-2], size):
            raise InputError(f"the cost matrix is {n} x {m}: x and y must have that many rows, or be left out")
    return tuple(cost.shape)


def _weights(name: str, weights: Array | None, shape: tuple[int, ...], like: Tensor, unit: bool) -> Tensor:
    if weights is None:
        return torch.full(shape, 1 / shape[-1], dtype=like.dtype, device=like.device)
    w = weights if isinstance(weights, Tensor) else torch.from_numpy(np.asarray(weights, dtype=np.float64))
    w = w.to(device=like.device, dtype=torch.float64)
    if w.shape != shape and w.shape != shape[-1:]:
        raise InputError(f"{name} has shape {tuple(w.shape)}, wanted {shape}")
    check_finite(name, w)
    if bool((w < 0).any()):
        raise InputError(f"{name} has a negative weight, first at row {int((w < 0).nonzero()[0, -1])}")
    total = w.sum(-1, keepdim=True)
    if unit and bool((total.detach() - 1).abs().max() > 1e-4):
        worst = float(total.flatten()[(total - 1).abs().argmax()])
        raise InputError(f"{name} sums to {worst:.6g}, wanted 1: divide it by its sum")
    if bool((total <= 0).any()):
        raise InputError(f"{name} has no mass: every weight is zero")
    return (w / total if unit else w).to(like.dtype).expand(shape)


def _check_mass(problem: Problem) -> None:
    at_most = any(isinstance(rule, AtMost) for rule in problem.marginals)
    if at_most != (problem.mass is not None):
        raise InputError("marginals=AtMost() and mass=... go together: give both (partial transport), or neither")
    if problem.mass is None:
        return
    most = min(float(weights.detach().sum(-1).min()) for weights in (problem.a, problem.b))
    if not 0 < problem.mass <= most * (1 + 1e-6):
        raise InputError(f"mass must lie between 0 and {most:.6g}, the lesser of both totals, got {problem.mass}")
