"""Neural flow diffusion: a noising process that is learned together with its reversal."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Pairs, Path, PathPoint, Times
from pushforward.errors import InputError
from pushforward.networks import MLP, Architecture
from pushforward.papers import NEURAL_FLOW_DIFFUSION
from pushforward.paths.conversions import check_gaussian
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import CondOT
from pushforward.paths.transforms import edm_preconditioning
from pushforward.predictions import Prediction, check_prediction
from pushforward.tensors import bcast

__all__ = ["Moments", "NeuralDiffusion"]


class Moments(NamedTuple):
    """Mean and deviation of the state given the data, entry by entry, and their derivatives in t: `(B, *event)`."""

    mean: Tensor
    deviation: Tensor
    d_mean: Tensor
    d_deviation: Tensor

    def noise(self, x: Tensor) -> Tensor:
        """Return the noise that leads to the state `x`."""
        return (x - self.mean) / self.deviation

    def velocity(self, x: Tensor) -> Tensor:
        """Return the velocity at the state `x`, at fixed noise."""
        return self.d_mean + self.d_deviation * self.noise(x)


class NeuralDiffusion(Recorded, nn.Module, Path):
    """Learn how data are noised: `x_t = mu(x1, t) + s(x1, t) x0`, with `mu = alpha x1 + t (1 - t) m(x1, t)` and `s =
    sigma exp(t (1 - t) l(x1, t))`, entry by entry, for two heads `m, l` of a network.

    The ends are those of `schedule`, and so is everything else before training, and for good with `learned=False`. The
    schedule must keep some noise at its end. Velocities `mu' + s' x0` are derivatives in t at fixed noise, by forward
    mode. The reversal replaces x1 by a prediction of it: train with `predicts="data"` and `DiffusionBound`; from the
    data follow velocity, noise and score, and with them ODE and SDE sampling. Nothing follows from the other kinds.
    """

    references: ClassVar[tuple[Reference, ...]] = (NEURAL_FLOW_DIFFUSION,)

    def __init__(
        self, schedule: Schedule | None = None, network: Architecture | None = None, learned: bool = True
    ) -> None:
        """Hold the schedule (by default `CondOT(sigma_min=0.01)`) and the architecture (a small MLP)."""
        super().__init__()
        self.schedule, self.learned = schedule or CondOT(sigma_min=0.01), learned
        self.architecture = network or MLP(width=64, depth=2, activation="tanh")
        self.process: nn.Module | None = None

    def built(self, event_shape: tuple[int, ...], schema: Schema) -> NeuralDiffusion:
        """Return the path with its network, which starts as the schedule alone."""
        path = NeuralDiffusion(self.schedule, self.architecture, self.learned)
        path.process = self.architecture.build(event_shape, {}, heads=2) if self.learned else None
        return path

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network preconditioned for the schedule and data of unit deviation: near the data its prediction
        is the state, corrected by little, as the bound's large weights there ask.
        """
        return _Preconditioned(network, self.schedule) if predicts == ("data",) else network

    @property
    def interval(self) -> tuple[float, float]:
        """That of the schedule."""
        return self.schedule.interval

    def _state(self, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        c = self.schedule(t)
        mean, deviation = bcast(c.alpha, x1) * x1, bcast(c.sigma, x1).expand_as(x1)
        if self.process is None:
            return mean, deviation
        shift, log_scale = self.process(x1, t, None).chunk(2, 1)
        inside = bcast(t * (1 - t), x1)
        return mean + inside * shift, deviation * (inside * log_scale).exp()

    def moments(self, x1: Tensor, t: Tensor) -> Moments:
        """Return mean and deviation given the data `x1: (B, *event)` at `t: (B,)`, with their derivatives."""
        values = torch.func.jvp(lambda time: self._state(x1, time), (t,), (torch.ones_like(t),))
        return Moments(*values[0], *values[1])

    def curvature(self, x1: Tensor, x0: Tensor, t: Tensor) -> Tensor:
        """Return `d^2 x_t / dt^2` at fixed ends: `(B, *event)`."""

        def velocity(time: Tensor) -> Tensor:
            moments = self.moments(x1, time)
            return moments.d_mean + moments.d_deviation * x0

        return torch.func.jvp(velocity, (t,), (torch.ones_like(t),))[1]

    def diffusion(self, t: Tensor) -> Tensor:
        """Return the squared diffusion `g^2 = 2 sigma Delta / alpha` of the reversal: `(B,)`. With it the bound is
        the usual one where nothing is learned.
        """
        c = self.schedule(t)
        return 2 * c.sigma * c.delta / c.alpha

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair at `times.input` and its velocity."""
        moments = self.moments(pairs.x1, times.input)
        x, v = moments.mean + moments.deviation * pairs.x0, moments.d_mean + moments.d_deviation * pairs.x0
        return PathPoint(times.label, x, v, pairs.x0, pairs.x1)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity, `x1`, `x0` or the conditional score of the point. Raises `InputError` for a score when
        `gaussian_source` is false.
        """
        check_prediction(kind)
        check_gaussian(gaussian_source, kind)
        if kind == "score":
            return -point.x0 / self.moments(point.x1, point.t).deviation
        ends = {"velocity": point.v, "drift": point.v, "data": point.x1, "noise": point.x0, "denoiser": point.x0}
        return ends[kind]

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn predicted data into velocity, noise or score, as if the prediction were the data themselves. Raises
        `InputError` from any other kind.
        """
        check_prediction(src)
        check_prediction(dst)
        check_gaussian(gaussian_source, src, dst)
        if src == dst:
            return value
        if src != "data":
            raise InputError(f"a NeuralDiffusion path cannot turn {src} into {dst}: use predicts='data'")
        moments = self.moments(value, t)
        if dst in ("velocity", "drift"):
            return moments.velocity(x)
        noise = moments.noise(x)
        return -noise / moments.deviation if dst == "score" else noise


class _Preconditioned(nn.Module):
    """`skip x + out network(into x)`, as EDM's denoiser."""

    def __init__(self, network: nn.Module, schedule: Schedule) -> None:
        super().__init__()
        self.network, self.schedule = network, schedule

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *event), (B,) -> (B, *event)`."""
        skip, out, into = (bcast(factor, x) for factor in edm_preconditioning(self.schedule(t), 1.0))
        return skip * x + out * self.network(into * x, t, condition)
