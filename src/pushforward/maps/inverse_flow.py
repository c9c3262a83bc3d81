"""Pairs of a flow that is trained already: every target point with where the flow brings it back to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Pairs
from pushforward.maps.taught import TaughtCoupling
from pushforward.solvers import DormandPrince, Solver

__all__ = ["InverseFlow"]


@dataclass(frozen=True)
class InverseFlow(TaughtCoupling):
    """Pair each target point with `x0 = Phi^-1(x1)`, the trained flow that `fit` learns from (`teacher`, or
    `init`) solved backwards.

    The source points that it is given are not used: those that come out are distributed as the source, as far as the
    flow is right. Pairs are deterministic, so what is learned from them is this flow: in fewer steps
    (`ReconstructionLikelihood`), or straighter (`FlowMatching`: rectified flow, from data to noise).
    """

    rowwise: ClassVar[bool] = True
    solver: Solver = field(default_factory=lambda: DormandPrince(1e-4))

    @torch.no_grad()
    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair `x1: (m, *event)` with where it comes from: `m` pairs. Raises `InputError` before `prepared`."""
        path = self.teacher.path
        end = path.target_end.encode(x1, condition)
        start = self.solver.solve(self.teacher, end, condition=condition, start=1.0, end=0.0, generator=generator).x
        return Pairs(path.source_end.decode(start, condition), x1, condition)
