"""The affine path `x_t = alpha_t x1 + sigma_t x0`, under any schedule."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import torch
from torch import Tensor, nn

from pushforward.conditions import Schema
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Sides, Times
from pushforward.ends import End, Scaled
from pushforward.errors import InputError
from pushforward.paths._known import hold_known
from pushforward.paths.conversions import check_gaussian, conversion
from pushforward.paths.preconditioned import Preconditioned
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import CondOT
from pushforward.predictions import check_prediction
from pushforward.tensors import bcast

__all__ = ["Affine"]

ROUNDING = 1e-6
"""An alpha so near to one at t = 1 is one."""


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

    With `data_std` the network is preconditioned as EDM's for data of that deviation (`paths.preconditioned`): what it
    sees and what it regresses on is of unit size at every noise level. Such a field predicts the velocity.
    """

    schedule: Schedule = field(default_factory=CondOT)
    data_std: float | None = None

    def __post_init__(self) -> None:
        if self.data_std is not None and not self.data_std > 0:
            raise InputError(f"data_std must be positive, got {self.data_std}: leave it out for a plain network")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this path with its schedule set up for the data."""
        return replace(self, schedule=self.schedule.prepared(sides, generator=generator))

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity is finite."""
        return self.schedule.interval

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network, preconditioned where `data_std` is given. Raises `InputError` if it then predicts
        anything but the velocity.
        """
        if self.data_std is None:
            return network
        if predicts != ("velocity",):
            raise InputError(f"data_std preconditions a velocity, the network predicts {', '.join(predicts)}")
        return Preconditioned(network, self.schedule, self.data_std)

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
        """Return the velocity (here also the drift), `x1`, `x0` (here also the denoiser's target), or the conditional
        score `-x0 / sigma` at the label time of the point.

        Raises `InputError` for an unknown kind, and for a score or denoiser when `gaussian_source` is false.
        """
        check_prediction(kind)
        check_gaussian(gaussian_source, kind)
        if kind == "score":
            return -point.x0 / bcast(self.schedule(point.t).sigma, point.x0)
        ends = {"velocity": point.v, "drift": point.v, "data": point.x1, "noise": point.x0, "denoiser": point.x0}
        return ends[kind]

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn the prediction `value: (B, *event)` of kind `src` at `x: (B, *event)`, `t: (B,)` into the kind `dst`.

        What the path cannot tell is infinite or NaN: velocity or noise from data at `sigma = 0`, velocity or data from
        noise at `alpha = 0`. Raises `InputError` for an unknown kind, and for a score or denoiser when
        `gaussian_source` is false.
        """
        check_prediction(src)
        check_prediction(dst)
        check_gaussian(gaussian_source, src, dst)
        if src == dst:
            return value
        a, b = conversion(self.schedule(t), src, dst)
        return torch.addcmul(bcast(a, x) * value, bcast(b, x), x)

    def reflected(self, point: PathPoint, pairs: Pairs, times: Times) -> PathPoint:
        """Return the point with `-x0` in place of x0. Raises `InputError` where x0 is not N(0, I) given x1."""
        check_gaussian(pairs.gaussian_source, "denoiser")
        return self.point(replace(pairs, x0=-pairs.x0), times)

    @property
    def source_end(self) -> End:
        """The state at t = 0 that sampling starts from, `sigma_0 x0`: `x0` itself unless the schedule is VP or VE.

        The part `alpha_0 x1` of the state, unknown when sampling, is left out.
        """
        sigma = float(self.schedule(torch.zeros(1, dtype=torch.float64)).sigma)
        return End() if sigma == 1 else Scaled(sigma)

    @property
    def target_end(self) -> End:
        """The state at t = 1 that a target point becomes, `alpha_1 x1`: `x1` unless the schedule is amplified."""
        alpha = float(self.schedule(torch.ones(1, dtype=torch.float64)).alpha)
        return End() if abs(alpha - 1) < ROUNDING else Scaled(alpha)
