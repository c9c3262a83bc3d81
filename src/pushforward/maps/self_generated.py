"""Pairs that a trained flow makes itself: every source point with where the flow carries it."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides, TrainedField
from pushforward.errors import InputError
from pushforward.networks import ClassifierFree
from pushforward.solvers import DormandPrince, Solver

__all__ = ["SelfGenerated"]

CHUNK = 8192


@dataclass(frozen=True)
class SelfGenerated(Coupling):
    """Pair each source point with `x1 = Phi(x0)`, where a trained flow carries it (reflow).

    The flow is the `teacher` of `fit`, or the one that it goes on from (`init`), and stays as it is. Both marginals are
    kept as far as that flow is right, no convex cost of the pairs grows, and their paths do not cross: flow matching
    on them gives a straighter flow. Targets are not used, but for the conditions that come with them.

    `pool` pairs are made once, before training, from fresh source points, and batches are drawn from them; with `None`
    every batch is made anew, at the teacher's price. Few pairs are learnt by heart: the authors advise a million for
    images. A resumed run makes the same pool again. `guidance` above one exaggerates the condition (classifier-free),
    and what is learnt has it baked in. `gaussian_source` is false: given the target, the source is known.

    Raises `InputError` for a stochastic solver, whose end is not determined by its start, and for an empty pool.
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
    _teacher: TrainedField | None = field(default=None, init=False, repr=False, compare=False)
    _pairs: Pairs | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.solver.stochastic:
            raise InputError("SelfGenerated needs a deterministic solver: noise on the way would unmatch the pairs")
        if self.pool is not None and self.pool < 1:
            raise InputError(f"SelfGenerated needs a pool of at least one pair, or none at all, got {self.pool}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with its teacher, and its pool. Raises `InputError` where there is no teacher."""
        if sides.teacher is None:
            raise InputError("SelfGenerated pairs by a flow that is trained already: give init, or teacher")
        ready = copy(self)
        object.__setattr__(ready, "_teacher", sides.teacher)
        if self.pool is not None:
            sizes = [min(CHUNK, self.pool - first) for first in range(0, self.pool, CHUNK)]
            parts = [
                ready._made(sides.source(n, generator=generator), sides.target(n, generator=generator)[1])
                for n in sizes
            ]
            object.__setattr__(ready, "_pairs", Pairs.joined(parts))
        return ready

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Return as many pairs as `x1` has rows: drawn from the pool, or of `x0` and `condition` where there is none.

        Raises `InputError` before `prepared`, and for unlike numbers of rows where there is no pool.
        """
        if self._pairs is not None:
            device = "cpu" if generator is None else generator.device
            rows = torch.randint(len(self._pairs), (len(x1),), generator=generator, device=device)
            return self._pairs[rows.to(self._pairs.x0.device)].to(x1.device)
        return self._made(x0, condition)

    @torch.no_grad()
    def _made(self, x0: Tensor, condition: Condition | None) -> Pairs:
        teacher = self._teacher
        if teacher is None:
            raise InputError("SelfGenerated has no flow yet: it is told by `prepared`")
        guided = teacher if self.guidance == 1 else ClassifierFree(teacher, self.guidance)
        start = teacher.path.source_end.encode(x0, condition)
        end = self.solver.solve(guided, start, condition=condition).x
        return Pairs(x0, teacher.path.target_end.decode(end, condition), condition)
