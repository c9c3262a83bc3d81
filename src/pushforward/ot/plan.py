"""The contract of transport plans: what every solver returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.ot.marginals import KL, AtMost, Marginal
from pushforward.ot.problem import Problem

__all__ = ["Plan", "Side", "draw"]

Side: TypeAlias = Literal["source", "target"]


@dataclass(frozen=True, eq=False)
class Plan(ABC):
    """A coupling `P: (..., n, m)` of two weighted sets of points, with the potentials that certify it.

    `method` is the solver that found it, `iterations` what it counts, `converged` whether it reached its tolerance.
    A leading axis, if there is one, counts independent problems; every result then has it too.
    """

    problem: Problem
    method: str
    iterations: int
    converged: bool

    @property
    @abstractmethod
    def value(self) -> Tensor:
        """Transport cost `<P, C>`: `(...)`, a scalar for a single problem."""

    @property
    @abstractmethod
    def objective(self) -> Tensor:
        """What was minimised: `<P, C> + epsilon KL(P | a b^T)`."""

    @property
    @abstractmethod
    def f(self) -> Tensor:
        """Potential of the source points, `(..., n)`, in units of the cost."""

    @property
    @abstractmethod
    def g(self) -> Tensor:
        """Potential of the target points, `(..., m)`, in units of the cost."""

    @property
    @abstractmethod
    def duality_gap(self) -> float:
        """Objective minus the dual value of the potentials: how far from optimal the plan can be at most."""

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """Return `P v` for `v: (..., m)` or `(..., m, k)`: `(..., n)` or `(..., n, k)`."""

    @abstractmethod
    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u` for `u: (..., n)` or `(..., n, k)`: `(..., m)` or `(..., m, k)`."""

    @abstractmethod
    def to_sparse(self, threshold: float = 0.0) -> Tensor:
        """Return the entries above `threshold` as a sparse COO tensor `(n, m)`."""

    @abstractmethod
    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw `n` pairs of indices `(i, j)` from P, with replacement."""

    @abstractmethod
    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one source index for every target point from the plan's conditional law: `(m,)`. No target is lost."""

    def to_dense(self) -> Tensor:
        """Return the matrix P: `(n, m)`."""
        return self.to_sparse().to_dense()

    @abstractmethod
    def potential(self, z: Tensor, side: Side = "source") -> Tensor:
        """Return the potential at new points `z: (..., k, d)` of one side: `(..., k)`.

        It is the (soft) conjugate of the other side's potential, and equals `f` (or `g`) at the plan's own points.
        """

    @abstractmethod
    def extended_map(self, z: Tensor) -> Tensor:
        """Return where new source points `z: (..., k, d)` go on average, `(..., k, d)`, by the extended potential."""

    def barycentric_map(self) -> Tensor:
        """Return where each source point goes on average, `E[y | x_i]`: `(..., n, d)`."""
        _, y = self.problem.points()
        return self.apply(y) / self.apply(torch.ones_like(self.problem.b)).unsqueeze(-1)

    def marginals(self) -> tuple[Tensor, Tensor]:
        """Return the sums over rows and columns, `P 1: (..., n)` and `P^T 1: (..., m)`."""
        a, b = self.problem.a, self.problem.b
        return self.apply(torch.ones_like(b)), self.transpose_apply(torch.ones_like(a))

    @property
    @torch.no_grad()
    def marginal_error(self) -> float:
        """L1 distance of the plan's marginals from what their rules ask for, summed; of many problems the largest.

        Where sums may stray at a price, they are compared with the optimal ones for the plan's potentials.
        """
        rows, columns = self.marginals()
        (rule_a, rule_b), a, b = self.problem.marginals, self.problem.a, self.problem.b
        error = _stray(rule_a, rows, a, self.f) + _stray(rule_b, columns, b, self.g)
        if self.problem.mass is not None:
            error = error + (rows.sum(-1) - self.problem.mass).abs()
        return float(error.max())


def _stray(rule: Marginal, sums: Tensor, weights: Tensor, potential: Tensor) -> Tensor:
    """Return the L1 distance of a plan's sums from what the rule asks for: `(...)`."""
    if isinstance(rule, AtMost):
        return (sums - weights).clamp(min=0).sum(-1)
    wanted = weights * torch.exp(-potential / rule.rho) if isinstance(rule, KL) else weights
    return (sums - wanted).abs().sum(-1)


def draw(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """Draw `n` indices from each row of the unnormalised `weights: (k, m)`: `(k, n)`."""
    cumulative = weights.double().cumsum(1)
    device = weights.device if generator is None else generator.device
    uniform = torch.rand(weights.shape[0], n, generator=generator, device=device, dtype=torch.float64)
    index = torch.searchsorted(cumulative, uniform.to(weights.device) * cumulative[:, -1:], right=True)
    last = (weights > 0).long().cumsum(1).argmax(1, keepdim=True)
    return torch.minimum(index, last)
