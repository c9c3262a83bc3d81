"""The affine path `x_t = alpha_t x1 + sigma_t x0`, under any schedule."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.paths._known import hold_known
from pushforward.paths.conversions import check_prediction, conversion, score_refused
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import CondOT
from pushforward.tensors import bcast

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine(Path):
    """Join the ends of a pair by `x_t = alpha_t x1 + sigma_t x0`, with velocity `v_t = alpha'_t x1 + sigma'_t x0`.

    Velocity, data `x1` and noise `x0` convert into each other under every coupling. The score `-x0 / sigma` joins them
    only where `x0`, given `x1` and the condition, is exactly N(0, I) (`gaussian_source=True`); anywhere else asking for
    it raises `InputError`. This is a statement about the pairs, whatever the schedule: for VE too `x0` is N(0, I),
    although its state at t = 0 is spread over `sigma_0 x0`.

    >>> path = Affine(CondOT())
    >>> t, x = torch.tensor([0.5]), torch.tensor([[1.0, 2.0]])
    >>> path.convert(torch.zeros(1, 2), x, t, "velocity", "data")
    tensor([[1., 2.]])
    """

    schedule: Schedule = field(default_factory=CondOT)

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity is finite."""
        return self.schedule.interval

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair at `times.input` and its velocity at `times.label`, the same time but for
        slowed laws; entries outside `pairs.mask` stay at `x1` and have velocity zero.
        """
        x, v = self.schedule.interpolate(pairs.x0, pairs.x1, times.input)
        if times.input is not times.label:
            v = self.schedule.interpolate(pairs.x0, pairs.x1, times.label)[1]
        if pairs.mask is not None:
            x, v = hold_known(pairs.mask, x, v, pairs.x1)
        return PathPoint(times.label, x, v, pairs.x0, pairs.x1)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity, `x1`, `x0`, or the conditional score `-x0 / sigma` at the label time of the point.

        Raises `InputError` for an unknown kind, and for a score when `gaussian_source` is false.
        """
        check_prediction(kind)
        if kind == "score":
            if not gaussian_source:
                raise score_refused()
            return -point.x0 / bcast(self.schedule(point.t).sigma, point.x0)
        return {"velocity": point.v, "data": point.x1, "noise": point.x0}[kind]

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn the prediction `value: (B, *event)` of kind `src` at `x: (B, *event)`, `t: (B,)` into the kind `dst`.

        What the path cannot tell is infinite or NaN: velocity or noise from data at `sigma = 0`, velocity or data from
        noise at `alpha = 0`. Raises `InputError` for an unknown kind, and for a score when `gaussian_source` is false.
        """
        check_prediction(src)
        check_prediction(dst)
        if "score" in (src, dst) and not gaussian_source:
            raise score_refused()
        if src == dst:
            return value
        a, b = conversion(self.schedule(t), src, dst)
        return torch.addcmul(bcast(a, x) * value, bcast(b, x), x)

    def start(self, x0: Tensor) -> Tensor:
        """Return the state at t = 0 that sampling starts from, `sigma_0 x0`: `x0` itself unless the schedule is VP or
        VE.

        The part `alpha_0 x1` of the state, unknown when sampling, is left out.
        """
        return self.source_scale * x0

    @property
    def source_scale(self) -> float:
        """`sigma_0`: what `x0` is multiplied by at t = 0."""
        return float(self.schedule(torch.zeros(1, dtype=torch.float64)).sigma)
