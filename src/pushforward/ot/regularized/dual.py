"""The concave duals of k-sparse transport: value, gradient, and the plan that the gradient comes from."""

from __future__ import annotations

from collections.abc import Callable
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

    Column j of the plan has the masses `mass[j]` at the sources `index[j]`, both `(m, k)`; many may be zero.
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

    def __init__(self, cost: Tensor, a: Tensor, b: Tensor, gamma: float, k: int) -> None:
        self.a, self.b, self.gamma, self.k = a, b, gamma, min(k, len(a))
        nothing = torch.full_like(b, torch.inf)
        self.near = Candidates(cost.T.contiguous(), torch.zeros_like(a), nothing)

    def largest(self, f: Tensor, level: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the k largest `f_i - C_ij` of each column, falling, their `level`, and their sources.

        `level(scores): (m,)` is what entries of a column have to exceed to take mass; over too few entries it may be
        too low, never too high. Neither do entries below the k-th largest: any others are left out.
        """
        while True:
            scores = self.near.scores(f)
            top, place = scores.topk(min(self.k, scores.shape[1]), 1)
            threshold = level(top)
            least = torch.maximum(threshold, top[:, -1]) if self.k <= top.shape[1] else threshold
            near = self.near.renewed(f, least)
            if near is self.near:
                return top, threshold, self.near.index.gather(1, place)
            self.near = near

    def sums(self, mass: Tensor, index: Tensor) -> Tensor:
        """Return the sums over rows, `(n,)`."""
        return torch.zeros_like(self.a).index_add_(0, index.flatten(), mass.flatten())


class SemiDual(_Columns):
    """`a.f - sum_j max over t >= 0, sum t = b_j, |t|_0 <= k of (f - C_j).t - gamma/2 |t|^2`, of the n variables f.

    The columns are projections onto simplices, so that their sums are exact; `-g_j` is the threshold of column j.
    Source: Blondel et al., *Smooth and sparse optimal transport* (2018), eq. 10; Liu et al., *Sparsity-constrained
    optimal transport* (2023), eq. 11.
    """

    def __call__(self, variables: Tensor) -> Point:
        """Evaluate at `f: (n,)`."""
        f = variables
        top, level, index = self.largest(f, lambda scores: simplex_threshold(scores, self.gamma * self.b, None, 1))
        mass = (top - level[:, None]).clamp_(min=0).div_(self.gamma)
        value = self.a @ f - self.b @ level - self.gamma / 2 * mass.square().sum()
        return Point(value, self.a - self.sums(mass, index), f, -level, index, mass)


class FullDual(_Columns):
    """`a.f + b.g - sum_j d(f + g_j - C_j)`, of the n + m variables f and g.

    Source: Blondel et al. (2018), eq. 7; Liu et al. (2023), eq. 10.
    """

    def __call__(self, variables: Tensor) -> Point:
        """Evaluate at f and g in one tensor, `(n + m,)`."""
        f, g = variables.split([len(self.a), len(self.b)])
        top, _, index = self.largest(f, lambda scores: -g)
        mass = (top + g[:, None]).clamp_(min=0).div_(self.gamma)
        gradient = torch.cat([self.a - self.sums(mass, index), self.b - mass.sum(1)])
        value = self.a @ f + self.b @ g - self.gamma / 2 * mass.square().sum()
        return Point(value, gradient, f, g, index, mass)
