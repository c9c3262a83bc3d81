"""Data-dependent pairs: the flow starts from what is left of its own end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import Coupling, Pairs
from pushforward.couplings.independent import Independent
from pushforward.observations import Observation

__all__ = ["Corruption"]


@dataclass(frozen=True)
class Corruption(Coupling):
    """Pair each target point with a corrupted copy of itself: super-resolution, in-painting, restoration.

    The `observation` says what is kept of the target, how the source point (noise, as a rule) enters where the flow
    starts, and which entries are free to move. It travels as a condition, so that the network sees it; afterwards the
    user gives it to `push` together with source points. Given the observation, x0 keeps its law, whatever the target:
    there is nothing to re-pair. `gaussian_source` is false from here on.
    """

    rowwise: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "albergo2024stochastic",
            "Stochastic Interpolants with Data-Dependent Couplings",
            "Albergo, Michael S. and Goldstein, Mark and Boffi, Nicholas M. and Ranganath, Rajesh and "
            "Vanden-Eijnden, Eric",
            2024,
            arxiv="2310.03725",
            venue="International Conference on Machine Learning",
        ),
    )
    observation: Observation

    @property
    def starts_from(self) -> Observation:
        """What the flow starts from."""
        return self.observation

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Return the target's conditions and those that the observation adds."""
        return self.observation.schema(schema, event_shape)

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Observe `x1: (m, *event)` and start from there with a row of `x0: (n, *event)`: `m` pairs.

        Raises `InputError` for unlike rows, and points that cannot be observed.
        """
        pairs = Independent()(x0, x1, condition, gaussian_source=gaussian_source, generator=generator)
        known = self.observation.observe(pairs.x1, pairs.condition, generator=generator)
        start, free = self.observation.encode(pairs.x0, known), self.observation.free(pairs.x1, known)
        return Pairs(start, pairs.x1, known, mask=free)
