"""The likelihood of reconstructions: train a flow through the solver that it will be used with."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.papers import RECONSTRUCTION_LIKELIHOOD
from pushforward.solvers import FixedStep, Solver
from pushforward.tensors import flat_mean

__all__ = ["ReconstructionLikelihood"]


@dataclass(frozen=True)
class ReconstructionLikelihood(Objective):
    """`E |x1 - phi(x0)|^2 / (2 deviation^2 d)`, with phi the flow as the `solver` solves it, differentiated through its
    steps: up to a constant the negative log-likelihood of `x1 | x0 ~ N(phi(x0), deviation^2 I)`, per entry.

    It repairs what few steps lose: sample with the same solver afterwards. The pairs must be nearly deterministic, as
    those of `maps.InverseFlow`, or the flow collapses to `E[x1 | x0]`. To `anchor` times the loss of `base` on the same
    pairs is added. Memory grows with the steps of the solver.
    """

    references: ClassVar[tuple[Reference, ...]] = (RECONSTRUCTION_LIKELIHOOD,)
    solver: Solver = field(default_factory=lambda: FixedStep("euler", 4))
    deviation: float = 1.0
    anchor: float = 0.0
    base: FlowMatching = field(default_factory=FlowMatching)

    def __post_init__(self) -> None:
        if not (0 < self.deviation < math.inf and 0 <= self.anchor < math.inf):
            raise InputError(
                f"deviation must be positive and anchor not negative, got {self.deviation} and {self.anchor}"
            )

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; its terms are `reconstruction` and, with an anchor, `anchor`."""
        start = path.source_end.encode(pairs.x0, pairs.condition)
        end = self.solver.solve(field, start, condition=pairs.condition, generator=generator).x
        error = (path.target_end.decode(end, pairs.condition) - pairs.x1).square()
        per_sample = flat_mean(error) / (2 * self.deviation**2)
        total = pairs.mean(per_sample)
        terms = {"reconstruction": total.detach()}
        if self.anchor:
            anchor = self.base(field, pairs, path, generator=generator).total
            total, terms = total + self.anchor * anchor, terms | {"anchor": anchor.detach()}
        return Loss(total, terms, per_sample.detach())
