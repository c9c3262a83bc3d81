"""Flow matching of points and labels together, each counted by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.paths import Symmetric

__all__ = ["SymmetricMatching"]


@dataclass(frozen=True)
class SymmetricMatching(Objective):
    """`L = weight L_points + (1 - weight) L_labels`: the loss of `base` over the channels of the points, and over those
    of the labels, of a `Symmetric` path.

    The minimiser is that of flow matching whatever the weight; without it, ten one-hot channels would count ten times
    as much as a grey image. `terms` has the losses of `points` and `labels`.
    """

    references: ClassVar[tuple[Reference, ...]] = Symmetric.references
    weight: float = 0.5
    base: FlowMatching = field(default_factory=FlowMatching)

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1:
            raise InputError(f"SymmetricMatching needs a weight between 0 and 1, got {self.weight}")

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; the network is evaluated once. Raises `InputError` for another path."""
        if not isinstance(path, Symmetric):
            raise InputError(f"SymmetricMatching needs a Symmetric path, got {type(path).__name__}")
        regression = self.base.regression(field, pairs, path, generator=generator)
        points, labels = (self.base.loss(part) for part in regression.split(path.channels))
        terms = {"points": points.total.detach(), "labels": labels.total.detach()}
        return Loss(self._mixed(points.total, labels.total), terms, self._per_sample(points, labels))

    def _mixed(self, points: Tensor, labels: Tensor) -> Tensor:
        return torch.lerp(labels, points, self.weight)

    def _per_sample(self, points: Loss, labels: Loss) -> Tensor | None:
        if points.per_sample is None or labels.per_sample is None:
            return None
        return self._mixed(points.per_sample, labels.per_sample)
