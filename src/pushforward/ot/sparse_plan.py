"""Plans with few entries: permutations and the vertices of the transport polytope."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot._certificate import conjugate, tighten
from pushforward.ot.plan import Plan, draw

__all__ = ["SparsePlan"]


@dataclass(frozen=True, eq=False)
class SparsePlan(Plan):
    """A plan with few entries: `mass: (k,)` at the indices `(i, j)`, each `(k,)`.

    `dual: (m,)` is a column potential from which the optimal one is found when it is asked for.
    """

    i: Tensor
    j: Tensor
    mass: Tensor
    dual: Tensor
    optimal: bool = True

    @property
    def value(self) -> Tensor:
        """Transport cost `<P, C>`."""
        return (self.mass * self.problem.aligned(self.i, self.j)).sum()

    @property
    def objective(self) -> Tensor:
        """The same as `value`: nothing else was minimised."""
        return self.value

    @cached_property
    def _potentials(self) -> tuple[Tensor, Tensor]:
        """Feasible potentials `f_i + g_j <= C_ij` in float64; for an optimal plan equal wherever there is mass."""
        cost, g = self.problem.dense().double(), self.dual.double()
        g = tighten(cost, self.i, self.j, g) if self.optimal else g
        f = conjugate(cost, g)
        shift = (self.problem.a.double() @ f - self.problem.b.double() @ g) / 2
        return f - shift, g + shift

    @property
    def f(self) -> Tensor:
        """Potential of the source points, `(n,)`; found when first asked for."""
        return self._potentials[0].to(self.problem.a.dtype)

    @property
    def g(self) -> Tensor:
        """Potential of the target points, `(m,)`; found when first asked for."""
        return self._potentials[1].to(self.problem.a.dtype)

    @property
    def duality_gap(self) -> float:
        """`<P, C> - (a.f + b.g)` with feasible potentials: zero, up to rounding, certifies that the plan is optimal."""
        f, g = self._potentials
        cost = self.problem.dense()[self.i, self.j].double()
        return float(self.mass.double() @ cost - self.problem.a.double() @ f - self.problem.b.double() @ g)

    @property
    def permutation(self) -> Tensor:
        """Target index of each source point, `(n,)`. Raises `InputError` unless the plan is a permutation."""
        n, m = self.problem.shape
        if not (n == m == self.i.shape[0] and torch.equal(self.i, torch.arange(n, device=self.i.device))):
            raise InputError(f"this plan of {n} onto {m} points has {self.i.shape[0]} entries and is no permutation")
        return self.j

    def apply(self, v: Tensor) -> Tensor:
        """Return `P v`."""
        return self._spread(v[self.j], self.i, self.problem.shape[0])

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u`."""
        return self._spread(u[self.i], self.j, self.problem.shape[1])

    def _spread(self, values: Tensor, index: Tensor, size: int) -> Tensor:
        weighted = self.mass.reshape(-1, *([1] * (values.ndim - 1))) * values
        return weighted.new_zeros(size, *values.shape[1:]).index_add_(0, index, weighted)

    def to_sparse(self, threshold: float = 0.0) -> Tensor:
        """Return the entries above `threshold` as a sparse COO tensor."""
        keep = self.mass > threshold
        index = torch.stack([self.i, self.j])[:, keep]
        return torch.sparse_coo_tensor(index, self.mass[keep], self.problem.shape, check_invariants=False).coalesce()

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw `n` pairs of indices with replacement."""
        entry = draw(self.mass[None], n, generator)[0]
        return self.i[entry], self.j[entry]

    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one source index for every target point; for a permutation nothing is random."""
        if self.i.shape[0] == self.problem.shape[1] and self.i.shape[0] == self.problem.shape[0]:
            return torch.empty_like(self.i).scatter_(0, self.j, self.i)
        return draw(self.to_dense().T, 1, generator)[:, 0]
