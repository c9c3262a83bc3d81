"""The contract of transport plans: what every solver returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.ot.problem import Problem

__all__ = ["Plan", "draw"]


@dataclass(frozen=True, eq=False)
class Plan(ABC):
    """A coupling `P: (n, m)` of two weighted sets of points, with the potentials that certify it.

    `method` is the solver that found it, `iterations` what it counts, `converged` whether it reached its tolerance.
    """

    problem: Problem
    method: str
    iterations: int
    converged: bool

    @property
    @abstractmethod
    def value(self) -> Tensor:
        """Transport cost `<P, C>`, a scalar tensor."""

    @property
    @abstractmethod
    def objective(self) -> Tensor:
        """What was minimised: `<P, C> + epsilon KL(P | a b^T)`."""

    @property
    @abstractmethod
    def f(self) -> Tensor:
        """Potential of the source points, `(n,)`, in units of the cost."""

    @property
    @abstractmethod
    def g(self) -> Tensor:
        """Potential of the target points, `(m,)`, in units of the cost."""

    @property
    @abstractmethod
    def duality_gap(self) -> float:
        """Objective minus the dual value of the potentials: how far from optimal the plan can be at most."""

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """Return `P v` for `v: (m, *shape)`: `(n, *shape)`."""

    @abstractmethod
    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u` for `u: (n, *shape)`: `(m, *shape)`."""

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

    def barycentric_map(self) -> Tensor:
        """Return where each source point goes on average, `E[y | x_i]`: `(n, *event)`. Rows without mass give NaN."""
        _, y = self.problem.points()
        mass = self.apply(torch.ones_like(self.problem.b))
        return self.apply(y) / mass.reshape(-1, *([1] * (y.ndim - 1)))

    def marginals(self) -> tuple[Tensor, Tensor]:
        """Return the sums over rows and columns, `P 1: (n,)` and `P^T 1: (m,)`."""
        a, b = self.problem.a, self.problem.b
        return self.apply(torch.ones_like(b)), self.transpose_apply(torch.ones_like(a))

    @property
    def marginal_error(self) -> float:
        """L1 distance of the plan's marginals from `a` and `b`, summed."""
        rows, columns = self.marginals()
        return float((rows - self.problem.a).abs().sum() + (columns - self.problem.b).abs().sum())


def draw(weights: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """Draw `n` indices from each row of the unnormalised `weights: (k, m)`: `(k, n)`."""
    cumulative = weights.double().cumsum(1)
    device = weights.device if generator is None else generator.device
    uniform = torch.rand(weights.shape[0], n, generator=generator, device=device, dtype=torch.float64)
    index = torch.searchsorted(cumulative, uniform.to(weights.device) * cumulative[:, -1:], right=True)
    last = (weights > 0).long().cumsum(1).argmax(1, keepdim=True)
    return torch.minimum(index, last)
