"""Flow matching with features of the network aligned to frozen features of the data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path, Sides
from pushforward.errors import InputError
from pushforward.networks import Field, SegmentExperts, features
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.paths import Codec, PrincipalComponents

__all__ = ["FeatureAlignment"]

FITTED_ON = 20_000


@dataclass(frozen=True)
class FeatureAlignment(Objective):
    """`L_FM + strength E [1 - cos(f(x_t, t), E(x1))]`: features f of the state point where those of the clean target
    point do, which a frozen encoder E gives.

    `layer` names the module of the network whose output is f: the `backbone` of `FeatureGuided` (semantic feature
    guidance), or any other layer; images are averaged over their pixels. The first numbers of f are aligned, as many as
    E gives, and the others are free: where the layer is linear this is as general as a learned projection. The
    `encoder` is any codec, fitted to the target before training, in the units of the network. The base loss weighs
    pairs as ever; the alignment counts every row of a pair alike.

    Weight and form of the alignment are this library's, after the abstract of the paper.
    """

    references: ClassVar[tuple[Reference, ...]] = SegmentExperts.references
    layer: str = "backbone"
    encoder: Codec = field(default_factory=PrincipalComponents)
    strength: float = 0.5
    base: FlowMatching = field(default_factory=FlowMatching)

    def __post_init__(self) -> None:
        if not self.strength >= 0:
            raise InputError(f"strength must not be negative, got {self.strength}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective with its encoder fitted to points of the target."""
        points = sides.target(FITTED_ON, generator=generator)[0] if sides.data is None else sides.data[0]
        return replace(self, encoder=self.encoder.fitted(points))

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, of one evaluation of the network; the terms are `regression` and `alignment`."""
        with features(field.network, self.layer) as reading:
            regression = self.base.regression(field, pairs, path, generator=generator)
        loss, alignment = self.base.loss(regression), self._alignment(reading.pooled, regression.pairs.x1)
        terms = {"regression": loss.total.detach(), "alignment": alignment.detach()}
        return Loss(loss.total + self.strength * alignment, loss.terms | terms, loss.per_sample)

    def _alignment(self, found: Tensor, x1: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = self.encoder.encode(x1).flatten(1)
        if len(found) != len(wanted) or found.shape[1] < wanted.shape[1]:
            raise InputError(
                f"layer {self.layer!r} gives features {tuple(found.shape)}, the encoder {tuple(wanted.shape)}: "
                "wanted as many rows and at least as many numbers"
            )
        return 1 - F.cosine_similarity(found[:, : wanted.shape[1]], wanted, dim=1).mean()
