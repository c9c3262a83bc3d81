"""The objective of a flow that starts from an encoded condition."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Schema, absent
from pushforward.contracts import Loss, Pairs, Path
from pushforward.couplings.null_targets import INDICATOR
from pushforward.errors import InputError
from pushforward.networks import Encoding, Field
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import LogitNormal
from pushforward.paths import EncodedSource
from pushforward.tensors import flat_mean

__all__ = ["CrossFlow", "divergence_from_noise"]


@dataclass(frozen=True)
class CrossFlow(Objective):
    """`L = L_FM + contrast L_enc + divergence KL(N(mu, s^2) || N(0, I))`, for an `EncodedSource` path.

    L_FM is the loss of `base`, differentiated into the encoder as well. L_enc is the contrastive loss of telling,
    within the batch, which target belongs to which start (null rows of `couplings.NullTargets` are left out): it keeps
    starts telling of their conditions. The divergence, per entry of a point, keeps them spread out. With
    `mean_term="sixth"` its `mu^2` becomes `(0.3 mu)^6`, which leaves means up to 3 nearly free; `"square"` is the
    divergence itself.

    `terms` has `flow`, `contrast` and `divergence` before their weights.
    """

    references: ClassVar[tuple[Reference, ...]] = EncodedSource.references
    contrast: float = 1.0
    divergence: float = 0.01
    mean_term: Literal["sixth", "square"] = "sixth"
    base: FlowMatching = field(default_factory=lambda: FlowMatching(time=LogitNormal()))

    def __post_init__(self) -> None:
        if not (0 <= self.contrast < math.inf and 0 <= self.divergence < math.inf):
            raise InputError(f"CrossFlow: weights cannot be negative, got {self.contrast} and {self.divergence}")
        if self.mean_term not in ("sixth", "square"):
            raise InputError(f"CrossFlow: mean_term is 'sixth' or 'square', got {self.mean_term!r}")

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another path."""
        if not isinstance(path, EncodedSource):
            raise InputError(f"CrossFlow needs an EncodedSource path, got {type(path).__name__}")
        flow = self.base(field, pairs, path, generator=generator)
        spread = divergence_from_noise(path.encoding(pairs.condition, len(pairs)), self.mean_term).mean()
        contrast = path.contrast(path.start(pairs.x0, pairs.condition), pairs.x1, _own(pairs))
        total = flow.total + self.contrast * contrast + self.divergence * spread
        terms = {"flow": flow.total, "contrast": contrast, "divergence": spread}
        return Loss(total, flow.terms | {name: value.detach() for name, value in terms.items()}, flow.per_sample)


def divergence_from_noise(encoding: Encoding, mean_term: Literal["sixth", "square"] = "square") -> Tensor:
    """Return `KL(N(mu, s^2) || N(0, I)) / d = mean (mu^2 + s^2 - 1 - log s^2) / 2` of each row, in nats per entry, or
    with `(0.3 mu)^6` in the place of `mu^2`: `(B,)`.
    """
    mean, log_variance = encoding
    squared = mean.square() if mean_term == "square" else (0.3 * mean).pow(6)
    return flat_mean(squared + log_variance.exp() - 1 - log_variance) / 2


def _own(pairs: Pairs) -> Tensor | None:
    """Return which rows have their own target; `None` for all."""
    indicator = (pairs.condition or {}).get(INDICATOR)
    return None if indicator is None else ~absent(indicator)
