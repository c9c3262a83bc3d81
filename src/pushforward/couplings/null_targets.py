"""Training pairs for guidance by an indicator: some rows are told so, and have another such row's target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.contracts import Coupling, Pairs, Sides
from pushforward.couplings.independent import Independent
from pushforward.errors import InputError
from pushforward.observations import Observation
from pushforward.papers import CROSSFLOW

__all__ = ["INDICATOR", "NullTargets"]

INDICATOR = "indicator"


@dataclass(frozen=True)
class NullTargets(Coupling):
    """Mark each row as null with `probability`, and pass the targets of null rows on among them: from wherever a null
    row starts, it may go to anything.

    The condition `indicator` is 1 where row and target belong together, which is also what it is where nothing is said,
    and absent in null rows. A network that is told it learns the flow of each condition and the unconditional one at
    the same states, also where the condition itself is what the flow starts from (`EncodedSource`) and cannot be
    dropped. Classifier-free guidance makes conditions absent, and so compares the two.

    At least two null rows are needed, or there are none in that batch: passed on alone, a target would stay where it
    was, and the null flow would learn the condition. Other conditions stay with where a row starts. The `base` coupling
    pairs first. Raises `InputError` for an impossible probability, and for a target that has an `indicator` already.
    """

    references: ClassVar[tuple[Reference, ...]] = (CROSSFLOW,)
    probability: float = 0.1
    base: Coupling = field(default_factory=Independent)

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise InputError(f"NullTargets needs a probability in [0, 1), got {self.probability}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> NullTargets:
        """Return this coupling with its base prepared."""
        return replace(self, base=self.base.prepared(sides, generator=generator))

    @property
    def starts_from(self) -> Observation | None:
        """What the base starts from."""
        return self.base.starts_from

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Add `indicator`."""
        if INDICATOR in schema:
            raise InputError(f"the target already has a condition {INDICATOR!r}: give it another name")
        return self.base.schema(schema, event_shape) | {INDICATOR: Column(default=1.0)}

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Pair by the base, then roll the targets of null rows by one among them."""
        pairs = self.base(x0, x1, condition, gaussian_source=gaussian_source, generator=generator)
        device = "cpu" if generator is None else generator.device
        null = (torch.rand(len(pairs), generator=generator, device=device) < self.probability).to(pairs.x1.device)
        if int(null.sum()) < 2:
            null = torch.zeros_like(null)
        target = pairs.x1.clone()
        target[null] = pairs.x1[null].roll(1, 0)
        indicator = torch.where(null, torch.nan, 1.0).to(pairs.x1.dtype)[:, None]
        return replace(pairs, x1=target, condition=(pairs.condition or {}) | {INDICATOR: indicator})
