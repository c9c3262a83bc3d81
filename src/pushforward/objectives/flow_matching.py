"""Flow matching: regress the conditional velocity, or whatever else the network predicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.conditions import Schema, check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.networks import Field
from pushforward.objectives._antithetic import with_reflections
from pushforward.objectives.condition_law import ConditionLaw
from pushforward.objectives.distance import Distance, SquaredError
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.objectives.weighting import Unweighted, Weighting
from pushforward.papers import FLOW_MATCHING

__all__ = ["FlowMatching", "within"]


@dataclass(frozen=True)
class FlowMatching(Objective):
    """`E w(t) |field(x_t, t) - target|^2 / d`, whose minimiser is the conditional mean of the target given the state.

    The target is the velocity, data, noise, score and so on of the path's point, as the field predicts. Times follow
    the `time` law (squeezed into the path's interval where that is smaller than [0, 1]), each sample is weighted by
    `weighting`, and by its pair's weight (normalised by their sum). The squared error is averaged over the entries of a
    sample that are free (`pairs.mask`). A field of several heads has the mean of their losses, each with the weight of
    its own prediction; `terms` then tells them apart. With `condition_dropout` the condition of each row is dropped
    with that probability, for classifier-free guidance; a `condition_law` changes it before that.

    With `antithetic` every point of the path comes with its mirror image, the path's noise negated, in one evaluation
    of the network on the doubled batch. The expected loss is the same; the gradients for velocity and score keep a
    finite variance at the ends of an interpolant, where their targets grow as `z gamma'` and `z / gamma`. For paths
    with noise of their own, and affine paths from N(0, I) noise.

    `per_sample` in the result is each sample's squared error, weighted by time and not by pair, and detached.
    """

    references: ClassVar[tuple[Reference, ...]] = (FLOW_MATCHING,)
    time: TimeLaw = field(default_factory=Uniform)
    weighting: Weighting = field(default_factory=Unweighted)
    condition_dropout: float = 0.0
    antithetic: bool = False
    condition_law: ConditionLaw | None = None
    distance: Distance = field(default_factory=SquaredError)

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    def schema(self, schema: Schema) -> Schema:
        """Return the schema, with what `condition_law` adds to it."""
        return schema if self.condition_law is None else self.condition_law.schema(schema)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; raises `InputError` for a score that does not exist, and for per-sample factors of a wrong
        shape.
        """
        return self.loss(self.regression(field, pairs, path, generator=generator))

    def regression(
        self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None
    ) -> Regression:
        """Draw times and points of the path, and let the network predict there: what objectives share that compare the
        predictions with something else as well.
        """
        x1 = pairs.x1
        times = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype)
        times = within(times, path.interval)
        point = path.point(pairs, times, generator=generator)
        condition = pairs.condition
        if self.condition_law is not None:
            condition = self.condition_law(condition, point.t, field.schema, generator=generator)
        condition = drop_rows(condition, self.condition_dropout, generator=generator)
        if self.antithetic:
            point, pairs, times, condition = with_reflections(path, point, pairs, times, condition)
        targets = tuple(path.target(point, kind, gaussian_source=pairs.gaussian_source) for kind in field.predicts)
        prediction = field(point.x, point.t, condition)
        weights = tuple(self.weighting(times, path, kind) for kind in field.predicts)
        return Regression(prediction, targets, pairs, weights, field.predicts, self.distance)

    def loss(self, regression: Regression) -> Loss:
        """Return the mean squared error of a regression, weighted by time and by pair."""
        loss = regression.loss()
        if not self.antithetic or loss.per_sample is None:
            return loss
        return replace(loss, per_sample=loss.per_sample.view(2, -1).mean(0))


def within(times: Times, interval: tuple[float, float]) -> Times:
    """Squeeze times into an interval, where that is smaller than [0, 1]."""
    low, high = interval
    if (low, high) == (0.0, 1.0):
        return times
    width = high - low
    label = low + width * times.label
    moved = label if times.input is times.label else low + width * times.input
    return Times(label, moved, times.log_prob - math.log(width))
