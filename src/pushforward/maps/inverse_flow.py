"""Pairs of a flow that is trained already: every target point with where the flow brings it back to."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides, TrainedField
from pushforward.errors import InputError
from pushforward.solvers import DormandPrince, Solver

__all__ = ["InverseFlow"]


@dataclass(frozen=True)
class InverseFlow(Coupling):
    """Pair each target point with `x0 = Phi^-1(x1)`, the trained flow that `fit` learns from (`teacher`, or
    `init`) solved backwards.

    The source points that it is given are not used: those that come out are distributed as the source, as far as the
    flow is right. Pairs are deterministic, so what is learned from them is this flow: in fewer steps
    (`ReconstructionLikelihood`), or straighter (`FlowMatching`: rectified flow, from data to noise).
    """

    rowwise: ClassVar[bool] = True
    solver: Solver = field(default_factory=lambda: DormandPrince(1e-4))
    _trained: TrainedField | None = field(default=None, init=False, repr=False, compare=False)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with the flow. Raises `InputError` where there is none."""
        if sides.teacher is None:
            raise InputError("InverseFlow pairs by a flow that is trained already: give init, or teacher")
        ready = copy(self)
        object.__setattr__(ready, "_trained", sides.teacher)
        return ready

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
        if self._trained is None:
            raise InputError("InverseFlow has no flow yet: it is told by `prepared`")
        path = self._trained.path
        end = path.target_end.encode(x1, condition)
        start = self.solver.solve(self._trained, end, condition=condition, start=1.0, end=0.0, generator=generator).x
        return Pairs(path.source_end.decode(start, condition), x1, condition)
