"""Plans that are given by their potentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.entropic.envelope import dual_value, objective, primal_value
from pushforward.ot.entropic.gibbs import Gibbs, ceiling, total
from pushforward.ot.entropic.implicit import implicit_potentials
from pushforward.ot.marginals import KL, AtMost
from pushforward.ot.plan import Plan, Side, draw
from pushforward.ot.problem import BLOCK

__all__ = ["EntropicPlan"]

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class EntropicPlan(Plan):
    """`P_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon)`: the potentials are the whole state.

    Whatever is asked of the plan recomputes it in blocks of rows. `history` holds the marginal error after some of
    the iterations. Where autograd follows the problem, results are differentiable in points, costs and weights: the
    objective by the envelope theorem, all else through the potentials by the implicit function theorem.
    """

    epsilon: float
    row_potential: Tensor
    column_potential: Tensor
    history: tuple[tuple[int, float], ...] = ()

    @property
    def f(self) -> Tensor:
        """Potential of the source points, `(..., n)`."""
        return self.kernel.f.to(self.problem.a.dtype)

    @property
    def g(self) -> Tensor:
        """Potential of the target points, `(..., m)`."""
        return self.kernel.g.to(self.problem.a.dtype)

    @property
    def kernel(self) -> Gibbs:
        """`exp((f_i + g_j - C_ij) / epsilon)`, with differentiable potentials where autograd follows the problem."""
        # One row tells whether it follows the cost, which may have parameters of its own.
        followed = self.problem.requires_grad or self.problem.rows(slice(0, 1)).requires_grad
        return self._differentiable if followed else self._fixed

    @property
    def _fixed(self) -> Gibbs:
        # Costs in the precision of the potentials: at small epsilon it shows.
        problem = self.problem.to(self.row_potential.dtype)
        return Gibbs(problem, self.epsilon, self.row_potential, self.column_potential)

    @cached_property
    def _differentiable(self) -> Gibbs:
        kernel = self._fixed
        f, g = implicit_potentials(kernel)
        return replace(kernel, f=f, g=g)

    def rows(self, rows: slice | Tensor) -> Tensor:
        """Return these rows of P, `(..., k, m)`."""
        kernel = self.kernel
        return self._weigh(kernel, rows, kernel.rows(rows))

    def _weigh(self, kernel: Gibbs, rows: slice | Tensor, E: Tensor) -> Tensor:
        weights = kernel.problem.a[..., rows].unsqueeze(-1) * kernel.problem.b.unsqueeze(-2)
        return (E * weights).to(self.problem.a.dtype)

    def _each(self, function: Callable[[slice, Tensor, Tensor], T]) -> Iterator[T]:
        """Yield `function(rows, P, C)` of every block of rows."""
        kernel = self.kernel
        return kernel.each(lambda rows, E, cost: function(rows, self._weigh(kernel, rows, E), cost))

    @property
    def value(self) -> Tensor:
        """Transport cost `<P, C>`."""
        if not self.kernel.followed:
            return self.kernel.products.value().to(self.problem.a.dtype)
        return total(self._each(lambda _, block, cost: (block * cost).sum((-2, -1)))).to(self.problem.a.dtype)

    @property
    def objective(self) -> Tensor:
        """`<P, C> + epsilon KL(P | a b^T)`, and the price of sums that stray where a side is `KL`.

        Differentiable by the envelope theorem: no linear system is solved.
        """
        return objective(self._fixed).to(self.problem.a.dtype)

    @property
    @torch.no_grad()
    def duality_gap(self) -> float:
        """Objective minus the dual value; the plan is feasible, and this a certificate, up to `marginal_error` only."""
        sums = self._fixed.sums()
        return float((primal_value(self._fixed, sums) - dual_value(self._fixed, sums)).abs().max())

    def apply(self, v: Tensor) -> Tensor:
        """Return `P v`."""
        v, squeeze = self._matrix(v)
        if not (self.kernel.followed or v.requires_grad):
            return squeeze(self.kernel.products.apply(v).to(v.dtype))
        return squeeze(torch.cat(list(self._each(lambda rows, block, cost: block @ v)), -2))

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u`."""
        u, squeeze = self._matrix(u)
        if not (self.kernel.followed or u.requires_grad):
            return squeeze(self.kernel.products.transpose_apply(u).to(u.dtype))
        return squeeze(total(self._each(lambda rows, block, cost: block.mT @ u[..., rows, :])))

    def _matrix(self, v: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        if v.ndim == self.problem.a.ndim:
            return v.unsqueeze(-1), lambda result: result.squeeze(-1)
        return v, lambda result: result

    def marginals(self) -> tuple[Tensor, Tensor]:
        """Return the sums over rows and columns, `P 1: (..., n)` and `P^T 1: (..., m)`, in one pass."""
        (rows, columns), inner, dtype = self.kernel.sums(), self.kernel.problem, self.problem.a.dtype
        return (inner.a * rows).to(dtype), (inner.b * columns).to(dtype)

    def barycentric_map(self) -> Tensor:
        """Return the mean of y given each source point, `(..., n, d)`; rows without mass have it too."""
        _, y = self.kernel.problem.points()
        if not self.kernel.followed:
            return self.kernel.products.means(y).to(self.problem.a.dtype)
        b = self.kernel.problem.b.unsqueeze(-1)
        means = self.kernel.each(lambda rows, E, cost: (E @ (b * y)) / (E @ b))
        return torch.cat(list(means), -2).to(self.problem.a.dtype)

    def potential(self, z: Tensor, side: Side = "source") -> Tensor:
        """Return the soft conjugate `-epsilon log sum_j b_j exp((g_j - c(z, y_j)) / epsilon)` at new points."""
        weights, top = self._conditional(z, side)
        soft = -self.epsilon * (weights.sum(-1).log() + top)
        rule = self.problem.marginals[0 if side == "source" else 1]
        if isinstance(rule, KL) and isinstance(rule.rho, Tensor) and rule.rho.numel() > 1:
            raise InputError("KL(rho) has a price for each point, and none for new ones: give a single rho to solve")
        if isinstance(rule, AtMost):
            soft = soft.clamp(max=0) if side == "source" else soft.minimum(self.kernel.g.amax(-1, keepdim=True))
        return (soft / (1 + self.epsilon / rule.rho) if isinstance(rule, KL) else soft).to(z.dtype)

    def extended_map(self, z: Tensor) -> Tensor:
        """Return the mean of y under the plan's conditional law at new source points."""
        _, y = self.kernel.problem.points()
        weights, _ = self._conditional(z, "source")
        return ((weights @ y) / weights.sum(-1, keepdim=True)).to(z.dtype)

    def _conditional(self, z: Tensor, side: Side) -> tuple[Tensor, Tensor]:
        """Return `b_j exp((g_j - c(z, y_j)) / epsilon - top)`, `(..., k, m)`, and `top`; or those of the other side."""
        kernel, z = self.kernel, z.to(self.row_potential.dtype)
        (x, y), cost = kernel.problem.points(), kernel.problem.cost
        if isinstance(cost, Tensor):
            raise InputError("a plan of a cost matrix cannot be extended: give points and a Cost to solve")
        if side == "source":
            potential, weights, cost = kernel.g, kernel.problem.b, cost.pairwise(z, y)
        else:
            potential, weights, cost = kernel.f, kernel.problem.a, cost.pairwise(x, z).mT
        exponent, weights = (potential.unsqueeze(-2) - cost) / self.epsilon, weights.unsqueeze(-2)
        top = torch.where(weights > 0, exponent, -torch.inf).amax(-1, keepdim=True).detach()
        # Points without mass may lie far above the top.
        return weights * (exponent - top).clamp(max=ceiling(z.dtype)).exp(), top.squeeze(-1)

    def to_dense(self) -> Tensor:
        """Return the matrix P: `(..., n, m)`."""
        return torch.cat(list(self._each(lambda rows, block, cost: block)), -2)

    def to_sparse(self, threshold: float = 0.0) -> Tensor:
        """Return the entries above `threshold` as a sparse COO tensor."""
        parts = []
        for rows, block in self._each(lambda rows, block, cost: (rows, block)):
            index = (block > threshold).nonzero(as_tuple=True)
            mass = block[index]
            parts.append((torch.stack([*index[:-2], index[-2] + rows.start, index[-1]]), mass))
        index, mass = torch.cat([p[0] for p in parts], 1), torch.cat([p[1] for p in parts])
        size = (*self.problem.batch, *self.problem.shape)
        return torch.sparse_coo_tensor(index, mass, size, check_invariants=False).coalesce()

    @torch.no_grad()
    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw `n` pairs of indices with replacement: the row from the marginal, the column from that row."""
        self._single("sample_pairs")
        i = draw(self.apply(torch.ones_like(self.problem.b))[None], n, generator)[0]
        step = max(1, BLOCK // self.problem.shape[1])
        return i, torch.cat([draw(self.rows(part), 1, generator)[:, 0] for part in i.split(step)])

    @torch.no_grad()
    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one source index for every target point from its column of the plan."""
        self._single("sample_sources")
        return draw(self.to_dense().T, 1, generator)[:, 0]

    def _single(self, operation: str) -> None:
        if self.problem.batch:
            raise InputError(f"{operation} draws from one plan: solve the problems one by one")
