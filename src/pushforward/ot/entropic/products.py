"""Products with the plan of two potentials, tile by tile: fast and lean where no derivative is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.ot.entropic.tiles import ground
from pushforward.ot.entropic.transform import exponent_floor
from pushforward.ot.problem import Problem

__all__ = ["PlanProducts"]


@dataclass(frozen=True, eq=False)
class PlanProducts:
    """The plan `P_ij = a_i b_j E_ij`, `E_ij = exp((f_i + g_j - C_ij) / epsilon)`, never more than a tile of it.

    Everything is in the dtype of the potentials, and autograd does not follow. Exponents are cut off far below what
    counts (underflow is slow) and far above what points with mass can have.
    """

    problem: Problem
    epsilon: float
    f: Tensor
    g: Tensor

    @torch.no_grad()
    def apply(self, v: Tensor) -> Tensor:
        """Return `P v`: `(..., n, k)` of `v: (..., m, k)`."""
        a, b = self._weights()
        return self._times(b * v.to(b.dtype)).mul_(a)

    @torch.no_grad()
    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u`: `(..., m, k)` of `u: (..., n, k)`."""
        a, b = self._weights()
        weighted = a * u.to(a.dtype)
        out = weighted.new_zeros((*b.shape[:-1], u.shape[-1]))
        for rows, columns, exponents in self._tiles():
            out[..., columns, :] += exponents.exp_().mT @ weighted[..., rows, :]
        return out.mul_(b)

    @torch.no_grad()
    def sums(self) -> tuple[Tensor, Tensor]:
        """Return `E b: (..., n)` and `E^T a: (..., m)`, in one pass: the plan's sums relative to the weights."""
        a, b = self._weights()
        over, under = torch.zeros_like(a), torch.zeros_like(b)
        for rows, columns, exponents in self._tiles():
            E = exponents.exp_()
            over[..., rows, :] += E @ b[..., columns, :]
            under[..., columns, :] += E.mT @ a[..., rows, :]
        return over.squeeze(-1), under.squeeze(-1)

    @torch.no_grad()
    def means(self, v: Tensor) -> Tensor:
        """Return `E (b v) / E b`, `(..., n, k)`: the means of `v: (..., m, k)` given each row, also without mass."""
        _, b = self._weights()
        sums = self._times(torch.cat([b, b * v.to(b.dtype)], -1))
        return sums[..., 1:] / sums[..., :1]

    @torch.no_grad()
    def value(self) -> Tensor:
        """Return the transport cost `<P, C>`, from `C_ij = f_i + g_j - epsilon log E_ij`: `(...)`."""
        a, b = self._weights()
        f, both = self.f.unsqueeze(-1), torch.cat([b, b * self.g.unsqueeze(-1)], -1)
        mean = torch.zeros_like(a)
        for rows, columns, exponents in self._tiles():
            E = exponents.exp()
            mass, potential = (E @ both[..., columns, :]).split(1, -1)
            mean[..., rows, :] += f[..., rows, :] * mass + potential
            mean[..., rows, :] -= self.epsilon * (exponents.mul_(E) @ b[..., columns, :])
        return (a * mean).sum((-2, -1))

    def _times(self, w: Tensor) -> Tensor:
        """Return `E w`: `(..., n, k)`."""
        out = w.new_zeros((*self.f.shape, w.shape[-1]))
        for rows, columns, exponents in self._tiles():
            out[..., rows, :] += exponents.exp_() @ w[..., columns, :]
        return out

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Return `a: (..., n, 1)` and `b: (..., m, 1)`."""
        return (
            self.problem.a.detach().to(self.f.dtype).unsqueeze(-1),
            self.problem.b.detach().to(self.g.dtype).unsqueeze(-1),
        )

    def _tiles(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Yield rows, columns and the exponents there, `(..., r, c)`."""
        costs = ground(self.problem.to(self.f.dtype), self.f.dtype)
        bound = -exponent_floor(self.f.dtype)
        for rows, columns, tile in costs.exponents(self.epsilon, self.f / self.epsilon, self.g / self.epsilon):
            yield rows, columns, tile.clamp_(-bound, bound)
