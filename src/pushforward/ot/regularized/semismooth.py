"""Semi-smooth Newton steps up the dual of quadratic transport."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.ot.entropic.conjugate_gradients import conjugate_gradients
from pushforward.ot.entropic.loop import ladder
from pushforward.ot.entropic.pairs import Candidates, Matrix

__all__ = ["QuadraticDual", "Stand"]

WEAK, FACTOR, COARSE = 0.1, 3.0, 0.1
"""Penalties below `WEAK` times the spread of the cost times the number of points are approached from there in steps by
`FACTOR`, with an error of `COARSE` in between: so the support never has to change much at a time."""

LEAST = 1e-8
"""Least share of the number of points that is added to the Hessian's diagonal: the support may be unconnected."""

SOLVES = 500
"""Conjugate-gradient iterations of one step at most."""


@dataclass(frozen=True)
class Stand:
    """The dual at potentials f and g: its value, what the sums over rows and columns lack, and `[f + g - C]_+`."""

    f: Tensor
    g: Tensor
    value: float
    rows: Tensor
    columns: Tensor
    excess: Tensor

    @property
    def error(self) -> float:
        """L1 error of the plan's sums."""
        return float(self.rows.abs().sum() + self.columns.abs().sum())


class QuadraticDual:
    """`D(f, g) = a.f + b.g - 1 / (2 gamma) sum_ij [f_i + g_j - C_ij]_+^2`, concave and piecewise quadratic.

    Its gradient is what the sums of `P = [f + g - C]_+ / gamma` lack, its Hessian `-1/gamma [diag(S 1), S; S^T,
    diag(S^T 1)]` with the support S of P. Source: Lorenz, Manns and Meyer, *Quadratically regularized optimal
    transport* (2021), section 3.
    """

    def __init__(self, cost: Tensor, a: Tensor, b: Tensor) -> None:
        self.cost, self.a, self.b = cost, a, b

    def maximise(self, gamma: float, tolerance: float, max_iterations: int) -> tuple[Stand, int]:
        """Return where the L1 error is at most `tolerance` (or no step helps), and the number of steps."""
        weak = max(gamma, WEAK * float(self.cost.std(correction=0)) * math.sqrt(self.cost.numel()))
        stages = ladder(weak, gamma, 1 + math.ceil(math.log(weak / gamma) / math.log(FACTOR)))
        f, g = self._of_full_support(weak)
        done, stand = 0, self.at(f, g, weak)
        for stage in stages:
            goal = COARSE if stage > gamma else tolerance
            stand, steps = self._climb(self.at(stand.f, stand.g, stage), stage, goal, max_iterations - done)
            done += steps
        return stand, done

    def at(self, f: Tensor, g: Tensor, gamma: float) -> Stand:
        """Evaluate the dual."""
        excess = (f.unsqueeze(1) - self.cost).add_(g).clamp_(min=0)
        value = self.a @ f + self.b @ g - torch.dot(excess.flatten(), excess.flatten()) / (2 * gamma)
        return Stand(f, g, float(value), self.a - excess.sum(1) / gamma, self.b - excess.sum(0) / gamma, excess)

    def _of_full_support(self, gamma: float) -> tuple[Tensor, Tensor]:
        """Return the optimum if all entries were positive, as they are for large penalties."""
        n, m = self.cost.shape
        half = (self.cost.mean() + gamma / (n * m)) / 2
        return self.cost.mean(1) + self.a * (gamma / m) - half, self.cost.mean(0) + self.b * (gamma / n) - half

    def _climb(self, stand: Stand, gamma: float, tolerance: float, most: int) -> tuple[Stand, int]:
        """Take steps, the shorter the more damping it needed so far to rise."""
        damping = LEAST
        for count in range(most):
            if stand.error <= tolerance:
                return stand, count
            new = self._search(stand, gamma, damping)
            while new is None and damping < 1:
                damping *= 100
                new = self._search(stand, gamma, damping)
            if new is None:
                return stand, count
            stand, damping = new, max(damping / 100, LEAST)
        return stand, most

    def _search(self, stand: Stand, gamma: float, damping: float) -> Stand | None:
        """Halve the Newton step a few times until the dual rises by its due; None where it does not."""
        df, dg = _direction(stand, gamma, damping)
        slope, noise = float(stand.rows @ df + stand.columns @ dg), 1e-14 * (1 + abs(stand.value))
        for step in (1.0, 0.5, 0.25, 0.125):
            new = self.at(stand.f + step * df, stand.g + step * dg, gamma)
            if new.value >= stand.value + 1e-4 * step * slope - noise:
                return new if new.value > stand.value or new.error < stand.error else None
        return None


def _direction(stand: Stand, gamma: float, damping: float) -> tuple[Tensor, Tensor]:
    """Solve `Hessian (df, dg) = -gradient`, about as exactly as the error deserves; dg is eliminated."""
    support = _matrix_of(stand.excess > 0)
    n, m = stand.excess.shape
    rows = support.apply(torch.ones_like(stand.g)) + damping * m
    columns = support.transpose_apply(torch.ones_like(stand.f)) + damping * n
    right = gamma * (stand.rows - support.apply(stand.columns / columns))
    df = conjugate_gradients(
        lambda v: rows * v - support.apply(support.transpose_apply(v) / columns), right, rows,
        tolerance=0.1 * min(stand.error, 0.1), max_iterations=SOLVES,
    ).x  # fmt: skip
    return df, (gamma * stand.columns - support.transpose_apply(df)) / columns


def _matrix_of(mask: Tensor) -> Matrix:
    """Return the matrix with ones where the mask is true."""
    start = torch.nn.functional.pad(mask.sum(1).cumsum(0), (1, 0))
    ones = torch.ones(int(start[-1]), dtype=torch.float64, device=mask.device)
    return Matrix(Candidates(start, mask.nonzero()[:, 1].to(torch.int32), ones, (mask.shape[0], mask.shape[1])), ones)
