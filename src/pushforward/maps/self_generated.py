"""Pairs that a trained flow makes itself: every source point with where the flow carries it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.maps.taught import PooledCoupling
from pushforward.networks import ClassifierFree
from pushforward.solvers import DormandPrince, Solver

__all__ = ["SelfGenerated"]


@dataclass(frozen=True)
class SelfGenerated(PooledCoupling):
    """Pair each source point with `x1 = Phi(x0)`, where a trained flow carries it (reflow).

    The flow is the `teacher` of `fit`, or the one that it goes on from (`init`), and stays as it is. Both marginals are
    kept as far as that flow is right, no convex cost of the pairs grows, and their paths do not cross: flow matching
    on them gives a straighter flow. Targets are not used, but for the conditions that come with them.

    `pool` pairs are made once, before training, from fresh source points, and batches are drawn from them; with `None`
    every batch is made anew, at the teacher's price. Few pairs are learnt by heart: the authors advise a million for
    images. A resumed run makes the same pool again. `guidance` above one exaggerates the condition (classifier-free),
    and what is learnt has it baked in. `gaussian_source` is false: given the target, the source is known.

    With `kept` below one only that share of the pool is used, the pairs that are nearest to each other: paths are the
    more bent the farther they go (truncation, Re-MeanFlow). What is left has other marginals than the flow.

    Raises `InputError` for a stochastic solver, whose end is not determined by its start, for an empty pool, and for
    `kept` outside (0, 1], or below one without a pool.
    """

    rowwise: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "liu2022flow",
            "Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow",
            "Liu, Xingchao and Gong, Chengyue and Liu, Qiang",
            2022,
            arxiv="2209.03003",
            venue="International Conference on Learning Representations",
        ),
    )
    solver: Solver = field(default_factory=DormandPrince)
    pool: int | None = 20_000
    guidance: float = 1.0
    kept: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.kept <= 1 or (self.kept < 1 and self.pool is None):
            raise InputError(f"kept is a share of the pool, in (0, 1], got {self.kept} of pool={self.pool}")

    def _chosen(self, pairs: Pairs) -> Pairs:
        if self.kept == 1:
            return pairs
        distance = (pairs.x1 - pairs.x0).flatten(1).square().sum(1)
        return pairs[distance.argsort()[: max(1, round(self.kept * len(pairs)))]]

    @torch.no_grad()
    def _made(self, x0: Tensor, condition: Condition | None) -> Pairs:
        teacher = self.teacher
        guided = teacher if self.guidance == 1 else ClassifierFree(teacher, self.guidance)
        start = teacher.path.source_end.encode(x0, condition)
        end = self.solver.solve(guided, start, condition=condition).x
        return Pairs(x0, teacher.path.target_end.decode(end, condition), condition)
