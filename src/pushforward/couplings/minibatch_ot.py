"""Minibatch optimal transport: pair the rows of a batch so that they travel as little as possible."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs
from pushforward.couplings._conditional import blocks, mismatch
from pushforward.couplings.pairing import balanced_rows, carry, check_rows
from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.ot import solve
from pushforward.ot.solve import Method

__all__ = ["MinibatchOT"]


@dataclass(frozen=True)
class MinibatchOT(Coupling):
    """Pair source and target rows by optimal transport between them.

    - `method="exact"`: the permutation of least total cost.
    - `method="entropic"`: the entropic plan for `epsilon`, in units of the cost; every target row is used once, and
      its source row drawn from the plan's conditional law. With squared distances, `epsilon = 2 sigma^2` gives the
      Schroedinger bridge of diffusion sigma.

    Every target row is used exactly once and keeps its condition. Where sizes differ, a permutation method first
    cycles or thins the source rows at random, each as often as any other; the entropic plan takes sizes as they are.
    The cost is never rescaled. The larger the set of rows, the closer to optimal transport between the distributions:
    give several batches at once.

    **Conditions.** Pairs chosen without the condition make the source depend on it, while sampling draws the source
    independently of it. With `condition_weight = w > 0`, each source row is first given the condition of a random
    target row, and `w` times the mismatch of conditions is added to the cost: the number of categories that differ
    plus the squared distance of continuous covariates (1 where only one is absent). `w = inf` solves every category
    on its own, so that the source given the category keeps its distribution exactly; a finite `w` trades this for
    shorter paths.

    The squared distance is the default `cost`. Pairs are no longer independent, so `gaussian_source` is false from
    here on.

    **Batches.** In training as many batches as make up `pool_rows`, up to four, are paired together, and every pair is
    used four times, each at a new time and in another batch, unless the trainer's `pool` and `passes` say otherwise:
    shorter paths than with pairs of each batch, at no more cost. `pool_rows=0` pairs each batch on its own, as the
    papers do.

    Raises `InputError` for an epsilon that is missing or without effect, a negative weight, and negative rows.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "tong2024improving",
            "Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal Transport",
            "Tong, Alexander and Fatras, Kilian and Malkin, Nikolay and Huguet, Guillaume and Zhang, Yanlei and "
            "Rector-Brooks, Jarrid and Wolf, Guy and Bengio, Yoshua",
            2024,
            arxiv="2302.00482",
            venue="Transactions on Machine Learning Research",
        ),
        Reference(
            "pooladian2023multisample",
            "Multisample Flow Matching: Straightening Flows with Minibatch Couplings",
            "Pooladian, Aram-Alexandre and Ben-Hamu, Heli and Domingo-Enrich, Carles and Amos, Brandon and "
            "Lipman, Yaron and Chen, Ricky T. Q.",
            2023,
            arxiv="2304.14772",
            venue="International Conference on Machine Learning",
        ),
        Reference(
            "cheng2025curse",
            "The Curse of Conditions: Analyzing and Improving Optimal Transport for Conditional Flow-Based Generation",
            "Cheng, Ho Kei and Schwing, Alexander",
            2025,
            arxiv="2503.10636",
        ),
    )

    method: Literal["exact", "entropic"] = "exact"
    epsilon: float | None = None
    condition_weight: float = 0.0
    cost: Cost = field(default_factory=SquaredEuclidean)
    pool_rows: int = 1024

    def __post_init__(self) -> None:
        if self.method not in ("exact", "entropic"):
            raise InputError(f"MinibatchOT has no method {self.method!r}: use 'exact' or 'entropic'")
        if self.method == "entropic" and not (self.epsilon is not None and 0 < self.epsilon < math.inf):
            raise InputError(
                f"MinibatchOT(method='entropic') needs a positive epsilon in units of the cost, got {self.epsilon}"
            )
        if self.method != "entropic" and self.epsilon is not None:
            raise InputError(
                f"epsilon has no effect with method={self.method!r}: leave it out, or use method='entropic'"
            )
        if not self.condition_weight >= 0:
            raise InputError(
                f"condition_weight must be zero or positive (infinity allowed), got {self.condition_weight}"
            )
        if self.pool_rows < 0:
            raise InputError(f"pool_rows must not be negative, got {self.pool_rows}: 0 pairs each batch on its own")

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair `x0: (n, *event)` with `x1: (m, *event)`: `m` pairs.

        Raises `InputError` for rows of different shapes, non-finite values, or a `condition_weight` without a
        condition.
        """
        check_rows(x0, x1, condition)
        with torch.no_grad():  # which rows pair is not differentiable; the rows themselves stay so
            if self.condition_weight > 0:
                rows = self._conditional(x0, x1, condition, generator)
            else:
                rows = self._unconditional(x0, x1, generator)
        return carry(x0, rows, x1, condition)

    def _unconditional(self, x0: Tensor, x1: Tensor, generator: torch.Generator | None) -> Tensor:
        n, m = x0.shape[0], x1.shape[0]
        if n == m or self.method == "entropic":
            return self._sources(x0, x1, self.cost, generator)
        start = balanced_rows(n, m, generator=generator).to(x0.device)
        return start[self._sources(x0[start], x1, self.cost, generator)]

    def _conditional(
        self, x0: Tensor, x1: Tensor, condition: Condition | None, generator: torch.Generator | None
    ) -> Tensor:
        """Give source row `start[k]` the condition of target row `k`, then put a price, or a ban, on changing it."""
        if not condition:
            raise InputError(
                f"condition_weight={self.condition_weight} needs a condition, but the rows have none: set it to 0"
            )
        start = balanced_rows(x0.shape[0], x1.shape[0], generator=generator).to(x0.device)
        x0 = x0[start]
        if self.condition_weight < math.inf:
            price = self.condition_weight * mismatch(condition, x0.dtype)
            return start[self._sources(x0, x1, self.cost.pairwise(x0.flatten(1), x1.flatten(1)) + price, generator)]
        rows = torch.empty_like(start)
        for block in blocks(condition):
            rows[block] = start[block][self._sources(x0[block], x1[block], self.cost, generator)]
        return rows

    def _sources(self, x0: Tensor, x1: Tensor, cost: Cost | Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the source row of every target row: `(m,)`."""
        method: Method = "assignment" if self.epsilon is None else "sinkhorn"
        plan = solve(x0.flatten(1), x1.flatten(1), cost=cost, epsilon=self.epsilon, method=method)
        return plan.sample_sources(generator=generator)
