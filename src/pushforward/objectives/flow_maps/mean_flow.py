"""MeanFlow: the average velocity of a jump from its own derivative in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

from pushforward.citations import Reference
from pushforward.errors import InputError, nearest
from pushforward.networks import TwoTime
from pushforward.objectives.flow_maps.derivative import DerivativeRule
from pushforward.objectives.flow_maps.map_regression import MapObjective
from pushforward.objectives.flow_maps.map_targets import EulerianTarget, MapTarget

__all__ = ["MeanFlow"]


@dataclass(frozen=True)
class MeanFlow(MapObjective):
    """Learn the average velocity `u(x; s, e)` on the way from time s to time e: one jump `x + u(x; 0, 1)` then carries
    the source to the target.

    `E w |u(x_s; s, e) - sg[v + (e - s) D_s u]|^2 / d`, `D_s u = d_s u + (d_x u) v` the derivative along the way, in
    forward mode; at the rows with `s = e` this is flow matching, so that `u(x; t, t)` is the velocity and every solver
    still works. v is the velocity of the pair, whose mean is meant, unless `velocity` is `Guided` (classifier-free
    guidance built in), `Taught` by a flow, or the model's own, `Diagonal`.

    With weights by the error (`weighting.power > 0`, as the authors train) the minimiser is a weighted mean, not quite
    the velocity where its law is skewed; power 0 is exact. The `derivative` may be a central difference instead, of two
    plain evaluations.
    """

    references: ClassVar[tuple[Reference, ...]] = TwoTime.references
    derivative: DerivativeRule = "forward"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.derivative not in get_args(DerivativeRule):
            raise InputError(
                f"derivative cannot be {self.derivative!r}{nearest(self.derivative, get_args(DerivativeRule))}"
            )

    def target(self, progress: float) -> MapTarget:
        """Return the rule, always the same."""
        return EulerianTarget(derivative=self.derivative)
