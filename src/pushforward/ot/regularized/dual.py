"""The concave duals of quadratic and k-sparse transport: value, gradient, and the plan that the gradient comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pushforward.geometry.simplex import simplex_threshold
from pushforward.ot.regularized.candidates import Candidates

__all__ = ["Dual", "FullDual", "Point", "SemiDual"]


@dataclass(frozen=True)
class Point:
    """A dual function at one point: its value, its gradient, and the potentials and the plan that belong to it.

    Column j of the plan has the masses `mass[j]` at the sources `index[j]`, both `(m, K)`; many are zero.
    """

    value: Tensor
    gradient: Tensor
    f: Tensor
    g: Tensor
    index: Tensor
    mass: Tensor


class Dual(Protocol):
    """A concave function whose gradient is what the plan's sums still lack."""

    def __call__(self, variables: Tensor) -> Point:
        """Evaluate at one tensor of all variables."""
        ...


class _Columns:
    """What both duals share: the conjugate of the penalty, summed over the columns.

        d(s) = max over t >= 0, |t|_0 <= k of  s.t - gamma/2 |t|^2  =  1/(2 gamma) sum over the k largest of [s_i]_+^2

    Its gradient is the column `t_i = [s_i]_+ / gamma` on the k largest; here `s_i = f_i + g_j - C_ij`.
    """

    def __init__(self, cost: Tensor, a: Tensor, b: Tensor, gamma: float, k: int | None) -> None:
        self.a, self.b, self.gamma, self.k = a, b, gamma, k
        nothing = torch.full_like(b, torch.inf)
        self.near = Candidates(cost.T.contiguous(), torch.zeros_like(a), nothing)

    def renew(self, f: Tensor, level: Tensor) -> None:
        """Choose the entries anew where they do not serve `f` and columns that take no mass below `level`.

        With cardinality no column takes any below its k-th largest score.
        """
        if self.k is not None:
            scores = self.near.scores(f)
            level = torch.maximum(level, scores.topk(min(self.k, scores.shape[1]), 1).values[:, -1])
        self.near = self.near.renewed(f, level)

    def conjugate(self, f: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return `sum_j d(f + g_j - C_j)`, the masses of the columns, `(m, K)`, and their sums over rows, `(n,)`."""
        mass = (self.near.scores(f) + g[:, None]).clamp_(min=0).div_(self.gamma)
        if self.k is not None and self.k < mass.shape[1]:
            mass.scatter_(1, mass.argsort(1, descending=True)[:, self.k :], 0.0)
        rows = torch.zeros_like(f).index_add_(0, self.near.index.flatten(), mass.flatten())
        return self.gamma / 2 * mass.square().sum(), mass, rows


class SemiDual(_Columns):
    """`a.f - sum_j max over t >= 0, sum t = b_j, |t|_0 <= k of (f - C_j).t - gamma/2 |t|^2`, of the n variables f.

    The columns are projections onto simplices, so that their sums are exact; `-g_j` is the threshold of column j.
    Source: Blondel et al., *Smooth and sparse optimal transport* (2018), eq. 10; Liu et al., *Sparsity-constrained
    optimal transport* (2023), eq. 11.
    """

    def __call__(self, variables: Tensor) -> Point:
        """Evaluate at `f: (n,)`."""
        f = variables
        self.renew(f, self._level(f))
        g = -self._level(f)
        conjugate, mass, rows = self.conjugate(f, g)
        return Point(self.a @ f + self.b @ g - conjugate, self.a - rows, f, g, self.near.index, mass)

    def _level(self, f: Tensor) -> Tensor:
        """Return the thresholds over the entries chosen: where some are missing they are too low, never too high."""
        return simplex_threshold(self.near.scores(f), self.gamma * self.b, self.k, 1)


class FullDual(_Columns):
    """`a.f + b.g - sum_j d(f + g_j - C_j)`, of the n + m variables f and g.

    Source: Blondel et al. (2018), eq. 7; Liu et al. (2023), eq. 10.
    """

    def __call__(self, variables: Tensor) -> Point:
        """Evaluate at f and g in one tensor, `(n + m,)`."""
        f, g = variables.split([len(self.a), len(self.b)])
        self.renew(f, -g)
        conjugate, mass, rows = self.conjugate(f, g)
        gradient = torch.cat([self.a - rows, self.b - mass.sum(1)])
        return Point(self.a @ f + self.b @ g - conjugate, gradient, f, g, self.near.index, mass)
