"""Independent plans of problems that share a leading axis."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.ot.plan import Plan, Side
from pushforward.ot.problem import Problem

__all__ = ["BatchPlan"]


@dataclass(frozen=True, eq=False)
class BatchPlan(Plan):
    """Plans of problems that were solved each on its own; every result has the leading axis of the problem."""

    @property
    @abstractmethod
    def plans(self) -> tuple[Plan, ...]:
        """The plan of every problem, with all it offers."""

    @staticmethod
    def of(problem: Problem, plans: Sequence[Plan]) -> BatchPlan:
        """Hold the plans of the parts of a problem."""
        worst = max(plan.iterations for plan in plans)
        return _Several(problem, plans[0].method, worst, all(plan.converged for plan in plans), tuple(plans))

    def _stack(self, of: Callable[[Plan], Tensor]) -> Tensor:
        return torch.stack([of(plan) for plan in self.plans])

    @property
    def value(self) -> Tensor:
        """Transport costs, `(B,)`."""
        return self._stack(lambda plan: plan.value)

    @property
    def objective(self) -> Tensor:
        """What was minimised, `(B,)`."""
        return self._stack(lambda plan: plan.objective)

    @property
    def f(self) -> Tensor:
        """Potentials of the source points, `(B, n)`."""
        return self._stack(lambda plan: plan.f)

    @property
    def g(self) -> Tensor:
        """Potentials of the target points, `(B, m)`."""
        return self._stack(lambda plan: plan.g)

    @property
    def duality_gap(self) -> float:
        """The largest gap of all plans."""
        return max(plan.duality_gap for plan in self.plans)

    def apply(self, v: Tensor) -> Tensor:
        """Return `P v` of every problem."""
        return torch.stack([plan.apply(part) for plan, part in zip(self.plans, v, strict=True)])

    def transpose_apply(self, u: Tensor) -> Tensor:
        """Return `P^T u` of every problem."""
        return torch.stack([plan.transpose_apply(part) for plan, part in zip(self.plans, u, strict=True)])

    def potential(self, z: Tensor, side: Side = "source") -> Tensor:
        """Return the extended potentials at `z: (B, k, d)`."""
        return torch.stack([plan.potential(part, side) for plan, part in zip(self.plans, z, strict=True)])

    def extended_map(self, z: Tensor) -> Tensor:
        """Return where new source points `z: (B, k, d)` go."""
        return torch.stack([plan.extended_map(part) for plan, part in zip(self.plans, z, strict=True)])

    def to_sparse(self, threshold: float = 0.0) -> Tensor:
        """Return the entries above `threshold` as a sparse COO tensor `(B, n, m)`."""
        return torch.stack([plan.to_sparse(threshold) for plan in self.plans]).coalesce()

    def sample_pairs(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Refuse: draw from one of `plans`."""
        raise InputError("this is a batch of plans: draw pairs from one of them, plan.plans[k].sample_pairs(n)")

    def sample_sources(self, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw one source index for every target point of every problem, `(B, m)`."""
        return self._stack(lambda plan: plan.sample_sources(generator=generator))


@dataclass(frozen=True, eq=False)
class _Several(BatchPlan):
    parts: tuple[Plan, ...]

    @property
    def plans(self) -> tuple[Plan, ...]:
        return self.parts
