"""Plans with few entries: permutations and the vertices of the transport polytope."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.exact.certificate import column_conjugate, held, row_conjugate
from pushforward.ot.plan import Plan, Side, draw
from pushforward.ot.problem import BLOCK

__all__ = ["SparsePlan"]


@dataclass(frozen=True, eq=False)
class SparsePlan(Plan):
    """A plan with few entries: `mass: (k,)` at the indices `(i, j)`, each `(k,)`.

    `dual: (m,)` is a column potential, and `row_dual: (n,)` a row potential that is feasible with it, both in float64;
    where the solver knows no row potential, the largest is found when it is asked for.
    """

    i: Tensor
    j: Tensor
    mass: Tensor
    dual: Tensor
    row_dual: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """Transport cost `<P, C>`, differentiable in points or costs, and in weights: their gradient is `f`, `g`."""
        value = (self.mass * self.problem.aligned(self.i, self.j)).sum()
        for weights, side in ((self.problem.a, 0), (self.problem.b, 1)):
            if weights.requires_grad and torch.is_grad_enabled():
                value = value + (weights - weights.detach()) @ self._potentials[side].to(weights.dtype)
        return value

    @property
    def objective(self) -> Tensor:
        """The same as `value`: nothing else was minimised."""
        return self.value

    @cached_property
    def _potentials(self) -> tuple[Tensor, Tensor]:
        """Feasible potentials `f_i + g_j <= C_ij` in float64; for an optimal plan equal wherever there is mass.

        Where not all mass is moved, no potential exceeds the largest of the points that are.
        """
        with torch.no_grad():
            f, g = self._found() if self.row_dual is None else (self.row_dual, self.dual)
            a, b = self.problem.a.double(), self.problem.b.double()
            shift = (a @ f - b @ g) / (a.sum() + b.sum())
        return f - shift, g + shift

    def _found(self) -> tuple[Tensor, Tensor]:
        problem, g = held(self.problem.detached()), self.dual.double()
        f = _capped(row_conjugate(problem, g), self.i, self._slack[0])
        return f, _capped(column_conjugate(problem, f), self.j, self._slack[1])

    @property
    def _slack(self) -> tuple[float, float]:
        """Mass of either side that is not moved."""
        if self.problem.mass is None:
            return 0.0, 0.0
        left, right = (float(w.detach().double().sum()) - self.problem.mass for w in (self.problem.a, self.problem.b))
        return max(left, 0.0), max(right, 0.0)

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
        """`<P, C>` minus the dual value of feasible potentials: zero, up to rounding, certifies an optimal plan.

        The dual value is `a.f + b.g`, less `max f` and `max g` times the mass that is not moved on either side.
        """
        f, g = self._potentials
        problem, (left, right) = self.problem.detached(), self._slack
        primal = self.mass.double() @ problem.aligned(self.i, self.j).double()
        dual = problem.a.double() @ f + problem.b.double() @ g
        return float(primal - dual + left * f[self.i].max() + right * g[self.j].max())

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
        if bool((torch.bincount(self.j, minlength=self.problem.shape[1]) == 1).all()):
            return torch.empty_like(self.i).scatter_(0, self.j, self.i)
        return draw(self.to_dense().T, 1, generator)[:, 0]

    def potential(self, z: Tensor, side: Side = "source") -> Tensor:
        """Return the conjugate `min_j c(z, y_j) - g_j` (or `min_i c(x_i, z) - f_i`) at new points `z: (k, d)`: `(k,)`.

        Where not all mass is moved, it is cut off at the largest potential of the points that are. Raises
        `InputError` for a plan of a cost matrix, which cannot be extended.
        """
        least = torch.cat([reduced.amin(1) for reduced in self._reduced(z, side)])
        own, slack = (self._potentials[0][self.i], self._slack[0]) if side == "source" else (
            self._potentials[1][self.j], self._slack[1]
        )  # fmt: skip
        return least.clamp(max=float(own.max())) if slack > 0 else least

    def extended_map(self, z: Tensor) -> Tensor:
        """Return the target that attains `min_j c(z, y_j) - g_j` for new source points `z: (k, d)`: `(k, d)`."""
        index = torch.cat([reduced.argmin(1) for reduced in self._reduced(z, "source")])
        return self.problem.points()[1][index]

    def _reduced(self, z: Tensor, side: Side) -> list[Tensor]:
        x, y = self.problem.points()
        cost = self.problem.cost
        if isinstance(cost, Tensor):
            raise InputError("a plan of a cost matrix cannot be extended: give points and a Cost to solve")
        parts = z.split(max(1, BLOCK // len(y if side == "source" else x)))
        if side == "source":
            return [cost.pairwise(part, y) - self.g for part in parts]
        return [cost.pairwise(x, part).mT - self.f for part in parts]


def _capped(potential: Tensor, used: Tensor, slack: float) -> Tensor:
    return potential.clamp(max=float(potential[used].max())) if slack > 0 else potential
