"""Plans of quadratic and k-sparse transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry.simplex import simplex_threshold
from pushforward.ot.exact.plan import SparsePlan
from pushforward.ot.plan import Side
from pushforward.ot.regularization import KSparse, Regularization

__all__ = ["RegularizedPlan"]


@dataclass(frozen=True, eq=False)
class RegularizedPlan(SparsePlan):
    """`P_ij = [f_i + g_j - C_ij]_+ / gamma`, on the k largest entries of each column where the penalty is `KSparse`.

    `row_potential: (n,)` and `column_potential: (m,)` are the dual solution, `dual_value` its value: no plan that the
    penalty allows has a smaller objective.
    """

    penalty: Regularization = field(kw_only=True)
    row_potential: Tensor = field(kw_only=True)
    column_potential: Tensor = field(kw_only=True)
    dual_value: float = field(kw_only=True)

    @cached_property
    def _potentials(self) -> tuple[Tensor, Tensor]:
        return self.row_potential, self.column_potential

    @property
    def value(self) -> Tensor:
        """Transport cost `<P, C>`; not differentiable, since it is not what was minimised."""
        return super().value.detach()

    @property
    def objective(self) -> Tensor:
        """`<P, C> + gamma/2 sum_ij P_ij^2`; its gradient in the costs is P, in the weights `f` and `g`."""
        return super().value + self.penalty.gamma / 2 * self.mass.square().sum()

    @property
    def duality_gap(self) -> float:
        """Objective minus `dual_value`; a certificate up to `marginal_error` only, which may make it negative."""
        return float(self.objective.detach()) - self.dual_value

    @property
    def row_residual(self) -> float:
        """L1 distance of the row sums from `a`: what k non-zeros in each column could not serve. See `repair`."""
        a, b = self.problem.a.detach(), self.problem.b.detach()
        return float((self.apply(torch.ones_like(b)) - a).abs().sum())

    def barycentric_map(self) -> Tensor:
        """Return the mean of y given each x; not differentiable, since the plan would change with the points."""
        return super().barycentric_map().detach()

    def potential(self, z: Tensor, side: Side = "source") -> Tensor:
        """Return the potential at new points `z: (k, d)`, each of which is given the mean weight of its side.

        It is the threshold for which the point's row (column) `[f + g_j - c(z, y_j)]_+ / gamma` sums to that weight; on
        the target side only the k largest entries count. At the plan's own points it is `f` (`g`) where the weights
        are equal (and, on the source side, no cardinality binds).
        """
        scores = self._scores(z, side)
        weights = self.problem.a if side == "source" else self.problem.b
        k = self.penalty.k if side == "target" and isinstance(self.penalty, KSparse) else None
        return -simplex_threshold(scores, self.penalty.gamma / (weights > 0).sum().to(scores), k).to(z.dtype)

    def extended_map(self, z: Tensor) -> Tensor:
        """Return the mean of y under the row that `potential` gives to each new source point: `(k, d)`."""
        scores = self._scores(z, "source")
        row = (scores + self.potential(z).to(scores)[:, None]).clamp(min=0)
        y = self.problem.points()[1]
        return (row / row.sum(1, keepdim=True)).to(y.dtype) @ y.detach()

    def _scores(self, z: Tensor, side: Side) -> Tensor:
        x, y = self.problem.detached().points()
        if isinstance(self.problem.cost, Tensor):
            raise InputError("a plan of a cost matrix cannot be extended: give points and a Cost to solve")
        if side == "source":
            return self.column_potential - self.problem.cost.pairwise(z, y)
        return self.row_potential - self.problem.cost.pairwise(x, z).mT
