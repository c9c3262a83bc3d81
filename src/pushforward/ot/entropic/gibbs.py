"""The Gibbs kernel of a pair of potentials, in blocks of rows that autograd follows without keeping them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import TypeVar

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.entropic.products import PlanProducts
from pushforward.ot.entropic.recompute import recomputed
from pushforward.ot.problem import Problem

__all__ = ["Gibbs", "ceiling", "first_order", "times", "total"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Gibbs:
    """`E_ij = exp((f_i + g_j - C_ij) / epsilon)`; the plan is `P_ij = a_i b_j E_ij`. Everything in one dtype.

    Whatever is asked of the matrix walks through it in blocks of rows. Where there is more than one, autograd keeps
    none of them and computes each once more in the backward pass: derivatives need no more memory than values.
    """

    problem: Problem
    epsilon: float
    f: Tensor
    g: Tensor

    def rows(self, rows: slice | Tensor, cost: Tensor | None = None) -> Tensor:
        """Return these rows of E, `(..., k, m)`."""
        cost = self.problem.rows(rows) if cost is None else cost
        exponent = self.f[..., rows].unsqueeze(-1) + self.g.unsqueeze(-2)
        exponent = exponent.sub_(cost).div_(self.epsilon)
        return (exponent.clamp(max=ceiling(exponent.dtype)) if self._unbounded else exponent).exp_()

    @cached_property
    def _unbounded(self) -> bool:
        """Where points without mass meet such points, the exponent has no bound, and its value no influence."""
        return bool((self.problem.a <= 0).any()) and bool((self.problem.b <= 0).any())

    def each(self, function: Callable[[slice, Tensor, Tensor], T]) -> Iterator[T]:
        """Yield `function(rows, E, C)` of every block of rows."""

        def block(rows: slice) -> T:
            cost = self.problem.rows(rows)
            return function(rows, self.rows(rows, cost), cost)

        slices = list(self.problem.slices())
        if len(slices) == 1 or not torch.is_grad_enabled():
            return map(block, slices)
        return (recomputed(partial(block, rows)) for rows in slices)

    @property
    def followed(self) -> bool:
        """Whether autograd follows the points, the weights, the potentials, or parameters of the cost."""
        potentials = torch.is_grad_enabled() and (self.f.requires_grad or self.g.requires_grad)
        return potentials or self.problem.requires_grad or self.problem.rows(slice(0, 1)).requires_grad

    @property
    def products(self) -> PlanProducts:
        """Products with the plan that autograd does not follow: several times quicker, in little memory."""
        return PlanProducts(self.problem, self.epsilon, self.f, self.g)

    def sums(self) -> tuple[Tensor, Tensor]:
        """Return `E b: (..., n)` and `E^T a: (..., m)`, in one pass: the plan's sums relative to the weights."""
        if not self.followed:
            return self.products.sums()
        a, b = self.problem.a, self.problem.b
        over, under = torch.empty_like(self.f), torch.zeros_like(self.g)
        for rows, right, left in self.each(lambda rows, E, _: (rows, times(E, b), times(E.mT, a[..., rows]))):
            over[..., rows] = right  # into place: vectors made between the blocks would fragment the memory
            under += left
        return over, under

    def detached(self) -> Gibbs:
        """Return the same kernel of a problem without autograd history."""
        return replace(self, problem=self.problem.detached())


def ceiling(dtype: torch.dtype) -> float:
    """Return an exponent far above what entries with mass have, whose exponential is finite."""
    return math.log(torch.finfo(dtype).max) / 2


def total(parts: Iterator[Tensor]) -> Tensor:
    """Return the sum of tensors that are made one after the other."""
    return reduce(torch.add, parts)


def first_order(x: Tensor) -> Tensor:
    """Return `x`, and refuse to differentiate its derivative, which would leave out how the potentials move."""
    if x.requires_grad:
        x.register_hook(_refuse_second_order)
    return x


def _refuse_second_order(_: Tensor) -> None:
    if torch.is_grad_enabled():
        raise InputError("entropic plans have first derivatives only: create_graph=True cannot go through them")


def times(matrix: Tensor, v: Tensor) -> Tensor:
    """Return the product of `matrix: (..., k, m)` with `v: (..., m)`: `(..., k)`."""
    return (matrix @ v.unsqueeze(-1)).squeeze(-1)
