"""A discrete transport problem: two sets of weighted points and the cost between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import Cost
from pushforward.tensors import as_samples, check_finite, check_same_event

__all__ = ["Problem", "pose"]

BLOCK = 1 << 24
"""Entries of the cost matrix that a plan's operations hold at once."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Move the masses `a: (n,)` onto `b: (m,)`, both summing to one, at a cost between points or between indices.

    `cost` is a `Cost` of the points `x: (n, *event)` and `y: (m, *event)`, or the matrix `(n, m)` itself (then the
    points are optional).
    """

    a: Tensor
    b: Tensor
    cost: Cost | Tensor
    x: Tensor | None = None
    y: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of points on either side."""
        return self.a.shape[0], self.b.shape[0]

    @property
    def is_assignment(self) -> bool:
        """Whether both sides have as many points, of equal weight: then a permutation is optimal."""
        n, m = self.shape
        return n == m and all(bool((w * n - 1).abs().max() < 1e-6) for w in (self.a, self.b))

    def dense(self) -> Tensor:
        """Return the whole cost matrix `(n, m)`."""
        return self.rows(slice(None))

    def rows(self, rows: slice | Tensor) -> Tensor:
        """Return these rows of the cost matrix."""
        if isinstance(self.cost, Tensor):
            return self.cost[rows]
        x, y = self.points()
        return self.cost.pairwise(x[rows], y)

    def aligned(self, i: Tensor, j: Tensor) -> Tensor:
        """Return the cost of each pair of indices `(i_k, j_k)`: `(k,)`."""
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

    def slices(self) -> Iterator[slice]:
        """Walk through the rows in blocks that bound the memory of a pass over the cost."""
        n, m = self.shape
        step = max(1, BLOCK // m)
        return (slice(start, min(start + step, n)) for start in range(0, n, step))


def pose(
    x: Tensor | np.ndarray | list | None,
    y: Tensor | np.ndarray | list | None,
    a: Tensor | np.ndarray | list | None,
    b: Tensor | np.ndarray | list | None,
    cost: Cost | Tensor,
) -> Problem:
    """Check everything the user gave and return the problem; weights default to uniform, `y` to `x`.

    Raises `InputError` for empty or non-finite input, unlike events, dtypes or devices, and weights that are negative
    or do not sum to one.
    """
    x = None if x is None else as_samples("x", x).detach()
    y = x if y is None else as_samples("y", y).detach()
    if x is not None and y is not None:
        check_same_event("x", x.shape[1:], "y", y.shape[1:])
    n, m, like = _size(x, y, cost)
    matrix = cost.detach() if isinstance(cost, Tensor) else cost
    return Problem(_weights("a", a, n, like), _weights("b", b, m, like), matrix, x, y)


def _size(x: Tensor | None, y: Tensor | None, cost: Cost | Tensor) -> tuple[int, int, Tensor]:
    if isinstance(cost, Tensor):
        return *_matrix_size(x, y, cost), cost
    if not isinstance(cost, Cost):
        raise InputError(
            f"cost must be a Cost, for example SquaredEuclidean(), or an (n, m) tensor, got {type(cost).__name__}"
        )
    if x is None or y is None:
        raise InputError("solve needs the points x (and y), or the matrix of costs: solve(cost=matrix)")
    if x.dtype != y.dtype or x.device != y.device:
        raise InputError(f"x is {x.dtype} on {x.device} but y is {y.dtype} on {y.device}: both must agree")
    return x.shape[0], y.shape[0], x


def _matrix_size(x: Tensor | None, y: Tensor | None, cost: Tensor) -> tuple[int, int]:
    if cost.ndim != 2 or cost.numel() == 0 or not cost.is_floating_point():
        raise InputError(
            f"the cost matrix must be a floating tensor (n, m), got {cost.dtype} of shape {tuple(cost.shape)}"
        )
    check_finite("the cost matrix", cost)
    n, m = cost.shape
    if (x is not None and x.shape[0] != n) or (y is not None and y.shape[0] != m):
        raise InputError(f"the cost matrix is {n} x {m}: x and y must have that many rows, or be left out")
    return n, m


def _weights(name: str, weights: Tensor | np.ndarray | list | None, n: int, like: Tensor) -> Tensor:
    if weights is None:
        return torch.full((n,), 1 / n, dtype=like.dtype, device=like.device)
    w = torch.as_tensor(weights).detach().to(device=like.device, dtype=torch.float64)
    if w.shape != (n,):
        raise InputError(f"{name} has shape {tuple(w.shape)}, wanted ({n},)")
    check_finite(name, w)
    if bool((w < 0).any()):
        raise InputError(f"{name} has a negative weight, first at row {int((w < 0).nonzero()[0])}")
    total = float(w.sum())
    if abs(total - 1) > 1e-4:
        raise InputError(f"{name} sums to {total:.6g}, wanted 1: divide it by its sum")
    return (w / total).to(like.dtype)
