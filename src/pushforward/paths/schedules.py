"""The schedules in use: optimal-transport, trigonometric, variance-preserving, polynomial, variance-exploding."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.papers import FLOW_MATCHING
from pushforward.paths.schedule import Schedule
from pushforward.tensors import bcast

__all__ = ["VE", "VP", "CondOT", "LinearVP", "Polynomial", "Trig"]

NEAR_ONE = 1 - 1e-5  # sigma' is infinite at t = 1 for the schedules in which sigma goes to zero like a square root

SCORE_SDE = Reference(
    key="song2020score",
    title="Score-Based Generative Modeling through Stochastic Differential Equations",
    authors="Yang Song and Jascha Sohl-Dickstein and Diederik P. Kingma and Abhishek Kumar and Stefano Ermon "
    "and Ben Poole",
    year=2020,
    arxiv="2011.13456",
)
INTERPOLANTS = Reference(
    key="albergo2022building",
    title="Building Normalizing Flows with Stochastic Interpolants",
    authors="Michael S. Albergo and Eric Vanden-Eijnden",
    year=2022,
    arxiv="2209.15571",
)
GUIDE = Reference(
    key="lipman2024guide",
    title="Flow Matching Guide and Code",
    authors="Yaron Lipman and Marton Havasi and Peter Holderrieth and Neta Shaul and Matt Le and Brian Karrer "
    "and Ricky T. Q. Chen and David Lopez-Paz and Heli Ben-Hamu and Itai Gat",
    year=2024,
    arxiv="2412.06264",
)


@dataclass(frozen=True)
class CondOT(Schedule):
    """Straight lines at constant speed: `alpha = t`, `sigma = 1 - (1 - sigma_min) t`.

    >>> CondOT()(torch.tensor([0.25])).sigma
    tensor([0.7500])
    """

    references: ClassVar[tuple[Reference, ...]] = (FLOW_MATCHING,)
    sigma_min: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma_min < 1:
            raise InputError(
                f"CondOT needs 0 <= sigma_min < 1, got {self.sigma_min}: sigma_min=0 ends exactly at the data"
            )

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`."""
        slope = 1 - self.sigma_min
        return Coefficients(t, 1 - slope * t, torch.ones_like(t), torch.full_like(t, -slope))

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `rho / (1 + (1 - sigma_min) rho)`."""
        return (1 / (1 / rho + (1 - self.sigma_min))).clamp(0, 1)

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return `x0 + t v` and `v = x1 - (1 - sigma_min) x0`: the general formula in fewer passes over the data."""
        velocity = torch.sub(x1, x0, alpha=1 - self.sigma_min)
        return torch.addcmul(x0, bcast(t, x0), velocity), velocity


@dataclass(frozen=True)
class Trig(Schedule):
    """The cosine schedule `alpha = sin(pi t / 2)`, `sigma = cos(pi t / 2)`: keeps the variance when both ends have the
    same.
    """

    references: ClassVar[tuple[Reference, ...]] = (INTERPOLANTS,)

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`."""
        half_pi = math.pi / 2
        sine = torch.sin(half_pi * t)
        cosine = torch.sin(half_pi * (1 - t))  # exactly zero at t = 1, as cos(pi/2) is not
        return Coefficients(sine, cosine, half_pi * cosine, -half_pi * sine)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `(2 / pi) arctan(rho)`."""
        return torch.atan(rho) * (2 / math.pi)


@dataclass(frozen=True)
class LinearVP(Schedule):
    """Variance-preserving with linear data coefficient: `alpha = t`, `sigma = sqrt(1 - t^2)`."""

    references: ClassVar[tuple[Reference, ...]] = (GUIDE,)

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`; `sigma'` is infinite at t = 1."""
        sigma = ((1 - t) * (1 + t)).sqrt()
        return Coefficients(t, sigma, torch.ones_like(t), -t / sigma)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `rho / sqrt(1 + rho^2)`."""
        return 1 / torch.hypot(torch.ones_like(rho), 1 / rho)

    @property
    def interval(self) -> tuple[float, float]:
        """Stops before t = 1, where `sigma'` is infinite."""
        return (0.0, NEAR_ONE)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """Straight lines at a speed that grows like a power: `alpha = t^n`, `sigma = 1 - t^n`, with `n >= 1`."""

    references: ClassVar[tuple[Reference, ...]] = (GUIDE,)
    n: float = 2.0

    def __post_init__(self) -> None:
        if not (self.n >= 1 and math.isfinite(self.n)):
            raise InputError(
                f"Polynomial needs a power n >= 1, got {self.n}: below 1 the velocity is infinite at t = 0"
            )

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`."""
        power, slope = t**self.n, self.n * t ** (self.n - 1)
        return Coefficients(power, 1 - power, slope, -slope)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `(rho / (1 + rho))^(1/n)`."""
        return (1 / (1 + 1 / rho)) ** (1 / self.n)


@dataclass(frozen=True)
class VP(Schedule):
    """The variance-preserving diffusion, run from noise to data.

    With `r = 1 - t` and `T = beta_min r + (beta_max - beta_min) r^2 / 2`: `alpha = exp(-T / 2)`, `sigma = sqrt(1 -
    exp(-T))`. It does not reach pure noise: `alpha_0 = exp(-5.02)` at the defaults.
    """

    references: ClassVar[tuple[Reference, ...]] = (SCORE_SDE,)
    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.beta_min <= self.beta_max < math.inf:
            raise InputError(
                f"VP needs 0 < beta_min <= beta_max, got beta_min={self.beta_min} and beta_max={self.beta_max}"
            )

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`; `sigma'` is infinite at t = 1."""
        r, growth = 1 - t, self.beta_max - self.beta_min
        total = r * (self.beta_min + r * (growth / 2))
        half_rate = (self.beta_min + r * growth) / 2
        alpha, sigma = torch.exp(-total / 2), torch.sqrt(-torch.expm1(-total))
        return Coefficients(alpha, sigma, alpha * half_rate, -alpha * alpha * half_rate / sigma)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `1 - r` with `T(r) = log(1 + rho^-2)`, the positive root of the quadratic in its stable form."""
        total = torch.log1p(rho**-2.0).clamp(max=self._total)
        root = torch.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * total)
        return (1 - 2 * total / (self.beta_min + root)).clamp(0, 1)

    @property
    def _total(self) -> float:
        return (self.beta_min + self.beta_max) / 2

    @property
    def interval(self) -> tuple[float, float]:
        """Stops before t = 1, where `sigma'` is infinite."""
        return (0.0, NEAR_ONE)


@dataclass(frozen=True)
class VE(Schedule):
    """The variance-exploding diffusion, run from noise to data: `alpha = 1`, `sigma = sigma_min sqrt((sigma_max /
    sigma_min)^(2 (1 - t)) - 1)`.

    The state at t = 0 is the data plus noise of deviation `sqrt(sigma_max^2 - sigma_min^2)`; the pairs' `x0` is N(0, I)
    as for every schedule.
    """

    references: ClassVar[tuple[Reference, ...]] = (SCORE_SDE,)
    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max < math.inf:
            raise InputError(
                f"VE needs 0 < sigma_min < sigma_max, got sigma_min={self.sigma_min} and sigma_max={self.sigma_max}"
            )

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`; `sigma'` is infinite at t = 1."""
        excess = self.sigma_min**2 * torch.expm1((1 - t) * (2 * self._log_ratio))
        sigma = excess.sqrt()
        d_sigma = -self._log_ratio * (excess + self.sigma_min**2) / sigma
        return Coefficients(torch.ones_like(t), sigma, torch.zeros_like(t), d_sigma)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `1 - log(1 + (rho sigma_min)^-2) / (2 log(sigma_max / sigma_min))`."""
        return (1 - torch.log1p((rho * self.sigma_min) ** -2.0) / (2 * self._log_ratio)).clamp(0, 1)

    @property
    def _log_ratio(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    @property
    def interval(self) -> tuple[float, float]:
        """Stops before t = 1, where `sigma'` is infinite."""
        return (0.0, NEAR_ONE)
