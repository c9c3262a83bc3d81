"""A term that holds a learnt noise near the noise that sampling starts from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.cross_flow import divergence_from_noise
from pushforward.objectives.extended import Extended
from pushforward.objectives.flow_maps.consistency import Consistency
from pushforward.objectives.objective import Objective
from pushforward.paths import VariationalNoise

__all__ = ["NoiseDivergence"]


@dataclass(frozen=True)
class NoiseDivergence(Extended):
    """`L_base + strength KL(N(mu(x1), s(x1)^2) | N(0, I)) / d`, for a `VariationalNoise` path: any objective whose loss
    is differentiated through the state, and the price of noise that tells its point.

    A large `strength` leaves the noise independent; too small a one lets the encoder store the point, and samples from
    N(0, I) are then off. `divergence` among the terms is per number of a point, in nats: watch it.
    """

    references: ClassVar[tuple[Reference, ...]] = VariationalNoise.references
    base: Objective = field(default_factory=Consistency)
    strength: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.strength < math.inf:
            raise InputError(f"NoiseDivergence needs a strength of at least 0, got {self.strength}")

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another path."""
        if not isinstance(path, VariationalNoise):
            raise InputError(f"NoiseDivergence needs a VariationalNoise path, got {type(path).__name__}")
        loss = self.base(field, pairs, path, generator=generator)
        divergence = divergence_from_noise(path.encoding(pairs.x1, pairs.condition)).mean()
        terms = loss.terms | {"divergence": divergence.detach()}
        return replace(loss, total=loss.total + self.strength * divergence, terms=terms)
