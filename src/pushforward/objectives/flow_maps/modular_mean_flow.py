"""Modular MeanFlow: how much of the derivative's own gradient is let through."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.objectives.flow_maps.curriculum import Curriculum, Rising
from pushforward.objectives.flow_maps.map_regression import MapObjective, MapRegression
from pushforward.objectives.flow_maps.map_targets import EulerianTarget, MapTarget
from pushforward.objectives.flow_maps.velocities import Conditional, Diagonal, VelocityRule

__all__ = ["ModularMeanFlow"]


@dataclass(frozen=True)
class ModularMeanFlow(MapObjective):
    """`E w |u(x_s; s, e) - (e - s) SG[D_s u] - v|^2 / d`, `SG[z] = lambda z + (1 - lambda) sg[z]`: between MeanFlow,
    which stops the gradient of the derivative (lambda = 0), and the residual of the identity itself (lambda = 1).

    The `curriculum` says lambda. While it is 0, v is the velocity of the pair and this is `MeanFlow`. Above, `velocity`
    is used, by default the model's own: with that of the pair (`Conditional`) the loss would contain the variance of
    `(I - (e - s) d_x u) v`, which the parameters can lower by being wrong. So let lambda rise once the model's own
    velocity has been learnt. A step then takes a second derivative, about three times the memory.

    The paper was seen through others' code only: this is this library's reading of it.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "you2025modular",
            "Modular MeanFlow: Towards Stable and Scalable One-Step Generative Modeling",
            "You, Haochen and Liu, Baojing and He, Hongyang",
            2025,
            arxiv="2508.17426",
        ),
    )
    velocity: VelocityRule = field(default_factory=Diagonal)
    curriculum: Curriculum = field(default_factory=Rising)

    def target(self, progress: float) -> MapTarget:
        """Return the rule for the lambda of that time."""
        return EulerianTarget(self.curriculum(progress))

    def at(self, progress: float) -> MapRegression:
        """Return the regression with the target rule of that time, and the velocity that goes with it."""
        regression = super().at(progress)
        return regression if self.curriculum(progress) > 0 else replace(regression, velocity=Conditional())
