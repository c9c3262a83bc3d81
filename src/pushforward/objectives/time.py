"""Time laws: which times a network is trained at."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Times
from pushforward.errors import InputError
from pushforward.objectives.draws import Draws
from pushforward.papers import ELUCIDATED_DIFFUSION, RECTIFIED_TRANSFORMERS
from pushforward.paths import CondOT, Schedule

__all__ = [
    "EDM",
    "Beta",
    "CosMap",
    "Discrete",
    "Fixed",
    "Interval",
    "LogitNormal",
    "Mode",
    "Shift",
    "Slowed",
    "TimeLaw",
    "Uniform",
]


class TimeLaw(ABC):
    """A distribution of training times on [0, 1]; t = 0 is the source, t = 1 the target.

    `sample` draws times and `log_prob` is their log-density, so that an objective can correct for the law
    (`ImportanceCorrected`).
    """

    @abstractmethod
    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""

    @abstractmethod
    def log_prob(self, t: Tensor) -> Tensor:
        """Log-density at times t inside (0, 1), same shape."""

    def sample(
        self,
        n: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Times:
        """Draw `n` times with their log-density; a batch is stratified where the law has a closed quantile function."""
        dtype = torch.get_default_dtype() if dtype is None else dtype
        # half precision can neither count a batch nor invert a distribution function
        wide = torch.promote_types(dtype, torch.float32)
        times = self.times(Draws(n, generator, device, wide))
        return times if wide == dtype else Times(times.label.to(dtype), times.input.to(dtype), times.log_prob.to(dtype))

    def _at(self, t: Tensor) -> Times:
        return Times(t, t, self.log_prob(t))


@dataclass(frozen=True)
class Uniform(TimeLaw):
    """Uniform times; `stratified` spreads one batch evenly (lower variance, same law).

    >>> Uniform().sample(4).label.sort().values.diff()
    tensor([0.2500, 0.2500, 0.2500])
    """

    stratified: bool = True

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""
        return self._at(draws.stratified() if self.stratified else draws.uniform())

    def log_prob(self, t: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(t)


@dataclass(frozen=True)
class LogitNormal(TimeLaw):
    """`t = sigmoid(mean + std n)`, n standard normal; a negative mean favours the source."""

    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        _positive("std", self.std)

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""
        return self._at(torch.sigmoid(draws.normal().mul_(self.std).add_(self.mean)))

    def log_prob(self, t: Tensor) -> Tensor:
        """`log N(logit t; mean, std^2) - log(t (1 - t))`."""
        return _log_normal(torch.logit(t), self.mean, self.std) - t.log() - (-t).log1p()


@dataclass(frozen=True)
class Mode(TimeLaw):
    """`t = u + k (cos^2(pi u / 2) - 1 + u)`, u uniform: k > 0 favours the middle, k < 0 the ends. -1 <= k <= 1.75 keeps
    it monotone.

    This is the law of the paper seen from our side of time (one minus its t).
    """

    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)
    k: float = 1.29

    def __post_init__(self) -> None:
        if not -1 <= self.k <= 1.75:
            raise InputError(f"Mode needs -1 <= k <= 1.75 for the times to be monotone in u, got {self.k}")

    def log_prob(self, t: Tensor) -> Tensor:
        """`-log dt/du` at the u that gives t, found by bisection to the last digit."""
        low, high = torch.zeros_like(t), torch.ones_like(t)
        for _ in range(1 + int(-math.log2(torch.finfo(t.dtype).eps))):
            u = (low + high) / 2
            above = self._quantile(u) > t
            low, high = torch.where(above, low, u), torch.where(above, u, high)
        return self._log_density((low + high) / 2)

    def times(self, draws: Draws) -> Times:
        """Draw times; knowing u, the density needs no bisection."""
        u = draws.stratified()
        t = self._quantile(u)
        return Times(t, t, self._log_density(u))

    def _quantile(self, u: Tensor) -> Tensor:
        return u + self.k * (torch.cos(math.pi / 2 * u).square() - 1 + u)

    def _log_density(self, u: Tensor) -> Tensor:
        return -(1 + self.k * (1 - math.pi / 2 * torch.sin(math.pi * u))).log()


@dataclass(frozen=True)
class CosMap(TimeLaw):
    """Density `2 / (pi - 2 pi t + 2 pi t^2)`: the times at which a linear path has the signal-to-noise ratio of a
    cosine one.
    """

    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)

    def times(self, draws: Draws) -> Times:
        """Draw `sin a / (sin a + cos a)` with `a = pi u / 2`, and its log-density."""
        angle = draws.stratified().mul_(math.pi / 2)
        return self._at(angle.sin() / (angle.sin() + angle.cos()))

    def log_prob(self, t: Tensor) -> Tensor:
        """Log of the density above."""
        return math.log(2 / math.pi) - (1 - 2 * t + 2 * t.square()).log()


@dataclass(frozen=True)
class Beta(TimeLaw):
    """Beta(a, b) times: `a > b` favours the target. Stratified when a or b is 1; else a ratio of two gammas."""

    a: float = 1.0
    b: float = 1.0

    def __post_init__(self) -> None:
        _positive("a", self.a)
        _positive("b", self.b)

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""
        if self.b == 1:
            return self._at(draws.stratified().pow_(1 / self.a))
        if self.a == 1:
            return self._at(1 - draws.stratified().pow_(1 / self.b))
        return self._at(draws.beta(self.a, self.b))

    def log_prob(self, t: Tensor) -> Tensor:
        """`(a - 1) log t + (b - 1) log(1 - t) - log B(a, b)`."""
        log_beta = math.lgamma(self.a) + math.lgamma(self.b) - math.lgamma(self.a + self.b)
        return torch.xlogy(t.new_tensor(self.a - 1), t) + torch.special.xlog1py(t.new_tensor(self.b - 1), -t) - log_beta


@dataclass(frozen=True)
class EDM(TimeLaw):
    """Times at which the noise level `sigma / alpha` of the `schedule` is log-normal: `exp(mean + std n)`."""

    references: ClassVar[tuple[Reference, ...]] = (ELUCIDATED_DIFFUSION,)
    mean: float = -1.2
    std: float = 1.2
    schedule: Schedule = field(default_factory=CondOT)

    def __post_init__(self) -> None:
        _positive("std", self.std)

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-density."""
        log_ratio = draws.normal().mul_(-self.std).sub_(self.mean)
        return self._at(self.schedule.snr_inverse(log_ratio.exp()))

    def log_prob(self, t: Tensor) -> Tensor:
        """`log N(log(sigma / alpha); mean, std^2) + log(Delta / (alpha sigma))`."""
        c = self.schedule(t)
        return _log_normal((c.sigma / c.alpha).log(), self.mean, self.std) + (c.delta / (c.alpha * c.sigma)).log()


@dataclass(frozen=True)
class Shift(TimeLaw):
    """Times of another law moved by `t / (s - (s - 1) t)`: s > 1 moves to the source, as high resolutions need."""

    references: ClassVar[tuple[Reference, ...]] = (RECTIFIED_TRANSFORMERS,)
    law: TimeLaw
    s: float = 3.0

    def __post_init__(self) -> None:
        _positive("s", self.s)

    def log_prob(self, t: Tensor) -> Tensor:
        """Change of variables: `log p(r) + log dr/dt` with `r = s t / (1 + (s - 1) t)` and `dr/dt = s / (1 + (s - 1)
        t)^2`.
        """
        return self.law.log_prob(self.s * t / (1 + (self.s - 1) * t)) - self._log_slope(t)

    def times(self, draws: Draws) -> Times:
        """Draw times, label and input moved alike."""
        return _moved(self.law.times(draws), self._map, self._log_slope)

    def _map(self, t: Tensor) -> Tensor:
        return t / (self.s - (self.s - 1) * t)

    def _log_slope(self, t: Tensor) -> Tensor:
        return 2 * (1 + (self.s - 1) * t).log() - math.log(self.s)


@dataclass(frozen=True)
class Interval(TimeLaw):
    """Times of another law squeezed into `[low, high]`: `low + (high - low) t`. With a uniform law, a segment, or one
    side of a noise level.
    """

    law: TimeLaw
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise InputError(f"Interval needs 0 <= low < high <= 1, got {self.low} and {self.high}")

    def log_prob(self, t: Tensor) -> Tensor:
        """Minus infinity outside the interval."""
        inside = (t >= self.low) & (t <= self.high)
        squeezed = ((t - self.low) / (self.high - self.low)).clamp(0, 1)
        return torch.where(inside, self.law.log_prob(squeezed) - math.log(self.high - self.low), -math.inf)

    def times(self, draws: Draws) -> Times:
        """Draw times, label and input squeezed alike."""
        times = self.law.times(draws)
        return _moved(times, self._map, lambda t: torch.full_like(t, math.log(self.high - self.low)))

    def _map(self, t: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * t


@dataclass(frozen=True)
class Discrete(TimeLaw):
    """The k times `0, 1/k, ..., (k - 1)/k`, equally often: where k Euler steps evaluate the velocity. `log_prob` is the
    log-mass, -log k.
    """

    k: int = 8

    def __post_init__(self) -> None:
        _positive("k", self.k)

    def times(self, draws: Draws) -> Times:
        """Draw times with their log-mass."""
        return self._at(draws.stratified().mul_(self.k).floor_().clamp_(max=self.k - 1).div_(self.k))

    def log_prob(self, t: Tensor) -> Tensor:
        """`-log k`."""
        return torch.full_like(t, -math.log(self.k))


@dataclass(frozen=True)
class Fixed(TimeLaw):
    """One time and no other: at 0 what a single Euler step from the source evaluates, at 1 what one back from the
    target does. `log_prob` is the log-mass, 0.
    """

    t: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.t <= 1:
            raise InputError(f"Fixed needs a time in [0, 1], got {self.t}")

    def times(self, draws: Draws) -> Times:
        """Return the time for every row."""
        return self._at(draws.uniform().fill_(self.t))

    def log_prob(self, t: Tensor) -> Tensor:
        """Zero."""
        return torch.zeros_like(t)


@dataclass(frozen=True)
class Slowed(TimeLaw):
    """Labels t of another law, states from an earlier time uniform in `[(1 - gamma) t, t]`: what a few-step solver
    really meets.

    A post-training law: from scratch it biases the velocity, and likelihoods lose their meaning.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "li2025mixflow",
            "MixFlow Training: Alleviating Exposure Bias with Slowed Interpolation Mixture",
            "Li, Hui and Lyu, Jiayue and Wang, Fu-Yun and Cheng, Kaihui and Zhu, Siyu and Wang, Jingdong",
            2025,
            arxiv="2512.19311",
        ),
    )
    law: TimeLaw = field(default_factory=lambda: Beta(2.0, 1.0))
    gamma: float = 0.4

    def __post_init__(self) -> None:
        if not 0 <= self.gamma <= 1:
            raise InputError(f"Slowed needs 0 <= gamma <= 1, got {self.gamma}")

    def log_prob(self, t: Tensor) -> Tensor:
        """Log-density of the label."""
        return self.law.log_prob(t)

    def times(self, draws: Draws) -> Times:
        """Draw labels and the slower times of the states."""
        times = self.law.times(draws)
        slow = 1 - self.gamma * draws.uniform()
        return replace(times, input=times.input * slow)


def _moved(times: Times, move: Callable[[Tensor], Tensor], log_slope: Callable[[Tensor], Tensor]) -> Times:
    """Push times through an increasing map; `log_slope` is log dt'/dt as a function of the moved time t'."""
    label = move(times.label)
    # one tensor stays one tensor, which objectives and paths may rely on for speed
    moved = label if times.input is times.label else move(times.input)
    return Times(label, moved, times.log_prob - log_slope(label))


def _log_normal(z: Tensor, mean: float, std: float) -> Tensor:
    return -0.5 * ((z - mean) / std).square() - math.log(std * math.sqrt(2 * math.pi))


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{name} must be positive, got {value}")
