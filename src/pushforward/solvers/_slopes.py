"""The seven slopes of a Dormand-Prince step, stored so that a weighted sum of them is one pass over memory."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.solvers._dormand_prince_table import DENSE, ERROR, STAGES
from pushforward.solvers.runge_kutta import advance

__all__ = ["Slopes"]


class Slopes:
    """Slots for seven slopes `(R, n)`.

    Without gradients they are the rows of one buffer, and a weighted sum is a matrix-vector product. With gradients,
    where a buffer must not be overwritten, they are a list of tensors.
    """

    def __init__(self, x: Tensor) -> None:
        self._buffer = None if torch.is_grad_enabled() else x.new_empty(len(ERROR), x.numel())
        self._list: list[Tensor] = [x] * len(ERROR)
        self._rows, self._width = x.shape
        self._weights = [x.new_tensor(row) for row in (*STAGES, ERROR)]
        self._dense = x.new_tensor(DENSE)

    def take(self, rows: Tensor) -> None:
        """Go on with these rows: keep their first slope."""
        first = self._slot(0)[rows]
        self._rows = len(rows)
        self.put(0, first)

    def shift(self, accept: Tensor | None) -> None:
        """Make the last slope the first of the next step, in the rows that `accept: (R, 1)`; `None` for all."""
        last = self._slot(len(ERROR) - 1)
        self.put(0, last if accept is None else torch.where(accept, last, self._slot(0)))

    def put(self, slot: int, slope: Tensor) -> None:
        """Store a slope `(R, n)`."""
        if self._buffer is None:
            self._list[slot] = slope
        else:
            self._matrix(len(ERROR))[slot] = slope.reshape(-1)

    def stage(self, number: int) -> Tensor:
        """Return the combination of slopes that stage `number` (0 to 5) starts from; the last is the step's result."""
        return self._sum(self._weights[number], STAGES[number])

    def error(self) -> Tensor:
        """Return the error estimate per unit step, without gradients."""
        with torch.no_grad():
            return self._sum(self._weights[-1], ERROR)

    def dense(self, rows: Tensor, fraction: Tensor) -> Tensor:
        """Return the interpolant's increments per unit step at a `fraction` of the step of each of `rows`: `(M, n)`."""
        powers = torch.stack([fraction ** (p + 1) for p in range(self._dense.shape[1])])
        weights = (self._dense @ powers).unsqueeze(-1)
        slopes = (
            torch.stack(self._list)
            if self._buffer is None
            else self._matrix(len(ERROR)).view(-1, self._rows, self._width)
        )
        return (weights * slopes[:, rows]).sum(0)

    def _sum(self, weights: Tensor, numbers: tuple[float, ...]) -> Tensor:
        if self._buffer is None:
            return advance(torch.zeros_like(self._list[0]), self._list[: len(numbers)], numbers, 1.0)
        return torch.mv(self._matrix(len(numbers)).T, weights).view(self._rows, self._width)

    def _slot(self, slot: int) -> Tensor:
        return (
            self._list[slot] if self._buffer is None else self._matrix(len(ERROR))[slot].view(self._rows, self._width)
        )

    def _matrix(self, count: int) -> Tensor:
        assert self._buffer is not None
        return self._buffer[:count, : self._rows * self._width]
