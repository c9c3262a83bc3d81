"""Contrastive flow matching: towards a row's own target, and a little away from another row's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Schema
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError, nearest
from pushforward.networks import Field
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.negatives import negatives
from pushforward.objectives.objective import Objective

__all__ = ["Contrastive"]


@dataclass(frozen=True)
class Contrastive(Objective):
    """`L = E |v(x_t, t, c) - u|^2 - strength E |v(x_t, t, c) - u~|^2`, with u~ the target of another row of the batch,
    both terms weighted as the `base` objective does.

    For independent rows and `strength < 1` the minimiser is `v* = (v_FM - strength u_bar) / (1 - strength)` with `u_bar
    = E[u~]`, and `E[x1] - E[x0]` on straight lines: 0 for noise and data that `fit` has normalised. Conditions come
    apart earlier in training; samples of v* are too sharp within each, as under guidance, and its densities are not
    those of the data. `networks.Deinterfered` gives v_FM back. The loss may be negative.

    The other row is any, or with `label` one that differs in that category; then u_bar is the mean over the other
    categories. `terms` tells `own target` and `other target` apart.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "stoica2025contrastive",
            "Contrastive Flow Matching",
            "Stoica, George and Ramanujan, Vivek and Fan, Xiang and Farhadi, Ali and Krishna, Ranjay and Hoffman, Judy",
            2025,
            arxiv="2506.05350",
            venue="International Conference on Computer Vision",
        ),
    )
    base: FlowMatching = field(default_factory=FlowMatching)
    strength: float = 0.05
    label: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise InputError(f"strength must lie in [0, 1), got {self.strength}: from one on, the loss has no minimum")

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective. Raises `InputError` unless the label is a category in it."""
        if self.label is not None and (self.label not in schema or schema[self.label].categories is None):
            raise InputError(f"Contrastive: no category {self.label!r}{nearest(self.label, schema)} among conditions")
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; the network is evaluated once."""
        regression = self.base.regression(field, pairs, path, generator=generator)
        rows = negatives(len(regression.pairs), self._labels(regression.pairs), generator=generator)
        own, other = self.base.loss(regression), self.base.loss(regression.against(rows))
        assert own.per_sample is not None and other.per_sample is not None  # flow matching tells samples apart
        terms = {"own target": own.total.detach(), "other target": other.total.detach()}
        per_sample = own.per_sample - self.strength * other.per_sample
        return Loss(own.total - self.strength * other.total, own.terms | terms, per_sample)

    def _labels(self, pairs: Pairs) -> Tensor | None:
        if self.label is None or pairs.condition is None:
            return None
        return pairs.condition[self.label]
