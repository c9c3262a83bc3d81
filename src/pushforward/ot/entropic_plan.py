"""Plans that are given by their potentials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.ot.plan import Plan, draw
from pushforward.ot.problem import BLOCK

__all__ = ["EntropicPlan"]


@dataclass(frozen=True, eq=False)
class EntropicPlan(Plan):
    """`P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon)`: the potentials are the whole state.

    Whatever is asked of the plan recomputes it in blocks of rows.
    """

    epsilon: float
    row_potential: Tensor
    column_potential: Tensor

    @property
    def f(self) -> Tensor:
        """Potential of the source points, `(n,)`."""
        return self.row_potential.to(self.problem.a.dtype)

    @property
    def g(self) -> Tensor:
        """Potential of the target points, `(m,)`."""
        return self.column_potential.to(self.problem.a.dtype)

    def rows(self, rows: slice | Tensor, cost: Tensor | None = None) -> Tensor:
        """Return these rows of P."""
        cost = self.problem.rows(rows) if cost is None else cost
        exponent = (self.row_potential[rows, None] + self.column_potential - cost) / self.epsilon
        return (exponent.exp() * (self.problem.a[rows, None] * self.problem.b)).to(self.problem.a.dtype)

    def _blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        for rows in self.problem.slices():
            cost = self.problem.rows(rows)
            yield rows, self.rows(rows, cost), cost

    @property
    def value(self) -> Tensor:
        """Transport cost `<P, C>`."""
        return torch.stack([(block * cost).sum() for _, block, cost in self._blocks()]).sum()

    @property
    def objective(self) -> Tensor:
        """`<P, C> + epsilon KL(P | a b^T) = r.f + c.g - epsilon (sum P - 1)`, with the plan's marginals r and c."""
        rows, columns = self.marginals()
        return rows @ self.f + columns @ self.g - self.epsilon * (rows.sum() - 1)

    @property
    def duality_gap(self) -> float:
        """Objective minus the dual value; the plan is feasible, and this a certificate, up to `marginal_error` only."""
        mass = self.apply(torch.ones_like(self.problem.b)).sum()
        dual = self.problem.a @ self.f + self.problem.b @ self.g - self.epsilon * (mass - 1)
        return float(self.objective - dual)

    def apply(self, v: Tensor) -> Tensor:
        """Return `P v`."""
        flat = v.reshape(v.shape[0], -1)
        return torch.cat([block @ flat for _, block, _ in self._blocks()]).reshape(-1, *v.shape[1:])

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u`."""
        flat = u.reshape(u.shape[0], -1)
        return torch.stack([block.T @ flat[rows] for rows, block, _ in self._blocks()]).sum(0).reshape(-1, *u.shape[1:])

    def to_dense(self) -> Tensor:
        """Return the matrix P: `(n, m)`."""
        return torch.cat([block for _, block, _ in self._blocks()])

    def to_sparse(self, threshold: float = 0.0) -> Tensor:
        """Return the entries above `threshold` as a sparse COO tensor."""
        parts = []
        for rows, block, _ in self._blocks():
            i, j = (block > threshold).nonzero(as_tuple=True)
            parts.append((torch.stack([i + rows.start, j]), block[i, j]))
        index, mass = torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts])
        return torch.sparse_coo_tensor(index, mass, self.problem.shape, check_invariants=False).coalesce()

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw `n` pairs of indices with replacement: the row from the marginal, the column from that row."""
        i = draw(self.apply(torch.ones_like(self.problem.b))[None], n, generator)[0]
        step = max(1, BLOCK // self.problem.shape[1])
        return i, torch.cat([draw(self.rows(part), 1, generator)[:, 0] for part in i.split(step)])

    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one source index for every target point from its column of the plan."""
        return draw(self.to_dense().T, 1, generator)[:, 0]
