"""Local contrastive flow matching: near the data features are compared, where velocities are ill-conditioned."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.errors import InputError
from pushforward.networks import Field, features
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import Interval

__all__ = ["LocalContrastive"]


@dataclass(frozen=True)
class LocalContrastive(Objective):
    """Flow matching before the time `until`, and after it a contrast of features of the network: `L_FM + strength
    L_con`.

    `L_con = -E log(exp(s_ii) / sum_j exp(s_ij))` with `s_ij = -|h(x_t^i, t) - a_j|^2 / temperature`, where the anchor
    `a_j` is the feature of row j at the time `until`, with other noise and no gradient, and features h are scaled to
    unit length. Two states of one target point whose noise differs by d are sigma d apart and their velocities sigma'
    d: near the data regression asks for a network of condition number `|sigma'| / sigma`, and features are spent on
    noise. The contrast asks them to tell points apart instead.

    `layer` names the module of the network whose output is h, such as `hidden.0` of an `MLP` or `middle` of a `UNet`;
    images are averaged over their pixels. Of each batch a share `1 - until`, at least `least` rows, is used for the
    contrast. The times of `base` are squeezed into `[0, until]`. Velocities after `until` are not trained: sample on a
    grid whose last Euler step begins there, which is the data prediction `x + (1 - t) v`.

    Form and settings of the contrast are this library's, after the abstract of the paper.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "zeng2025flow",
            "Flow Matching in the Low-Noise Regime: Pathologies and a Contrastive Remedy",
            "Zeng, Weili and Yan, Yichao",
            2025,
            arxiv="2509.20952",
        ),
    )
    layer: str
    until: float = 0.9
    strength: float = 1.0
    temperature: float = 0.1
    least: int = 64
    base: FlowMatching = field(default_factory=FlowMatching)

    def __post_init__(self) -> None:
        if not (0 < self.until < 1 and self.strength >= 0 and self.temperature > 0 and self.least >= 2):
            raise InputError(
                "LocalContrastive needs until in (0, 1), a positive temperature, a strength of at least 0 and least of "
                f"at least 2: got {self.until}, {self.temperature}, {self.strength} and {self.least}"
            )

    def schema(self, schema: Schema) -> Schema:
        """Return the schema of the base objective."""
        return self.base.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, of at least four rows; the terms are `regression` and `contrast`."""
        near = min(max(round((1 - self.until) * len(pairs)), self.least), len(pairs) // 2)
        if near < 2:
            raise InputError(f"a batch of {len(pairs)} is too small to be contrasted: wanted at least four rows")
        base = replace(self.base, time=Interval(self.base.time, 0.0, self.until))
        regression = base(field, pairs[near:], path, generator=generator)
        contrast = self._contrast(field, pairs[:near], path, generator)
        terms = {"regression": regression.total.detach(), "contrast": contrast.detach()}
        return Loss(regression.total + self.strength * contrast, regression.terms | terms)

    def _contrast(self, field: Field, pairs: Pairs, path: Path, generator: torch.Generator | None) -> Tensor:
        u = torch.rand(len(pairs), generator=generator, dtype=pairs.x1.dtype, device=pairs.x1.device)
        t = self.until + (1 - self.until) * u
        # the noise of the row beside it is independent of a row's own, whatever its law
        other = replace(pairs, x0=pairs.x0.roll(1, 0))
        with torch.no_grad():
            anchor = self._features(field, other, path, torch.full_like(t, self.until), generator)
        found = self._features(field, pairs, path, t, generator)
        # |p - q|^2 = 2 - 2 <p, q> for unit vectors, and what all candidates share cancels
        return F.cross_entropy(found @ anchor.T * (2 / self.temperature), torch.arange(len(t), device=t.device))

    def _features(self, field: Field, pairs: Pairs, path: Path, t: Tensor, generator: torch.Generator | None) -> Tensor:
        point = path.point(pairs, Times(t, t, torch.zeros_like(t)), generator=generator)
        return _normalised(field, self.layer, point.x, t, pairs.condition)


def _normalised(field: Field, layer: str, x: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
    with features(field.network, layer) as reading:
        field(x, t, condition)
    return F.normalize(reading.pooled, dim=1)
