"""How an interpolant mixes the ends of a pair: `a(t) x0 + b(t) x1`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.contracts import Coefficients
from pushforward.paths.gamma import Gamma, Spread
from pushforward.tensors import bcast

__all__ = ["Blend", "EncodingDecoding", "LinearBlend", "Mirror", "TrigBlend"]


class Blend(ABC):
    """The weights of both ends in the state. `Coefficients` hold them as on an affine path: `alpha = b` is the weight
    of x1, `sigma = a` that of x0.
    """

    @abstractmethod
    def __call__(self, t: Tensor, spread: Spread) -> Coefficients:
        """Return `b, a, b', a'` at `t`, given the noise there."""

    def lone_end(self, c: Coefficients) -> tuple[Tensor, Tensor] | None:
        """Return weight and derivative of the only end that the state holds at a time, `None` where it holds both."""
        return None

    def refusal(self, gamma: Gamma) -> str | None:
        """Say why this noise does not go with this blend; `None`, the default, where it does."""
        return None

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
        """Return `I = a x0 + b x1` and `dI/dt` for pairs `x0, x1: (B, *event)` at `t: (B,)`."""
        b, a, d_b, d_a = (bcast(c, x1) for c in self(t, spread))
        return torch.addcmul(a * x0, b, x1), torch.addcmul(d_a * x0, d_b, x1)


@dataclass(frozen=True)
class LinearBlend(Blend):
    """Straight lines: `a = 1 - t`, `b = t`."""

    def __call__(self, t: Tensor, spread: Spread) -> Coefficients:
        """Return `b, a, b', a'` at `t`."""
        one = torch.ones_like(t)
        return Coefficients(t, 1 - t, one, -one)

    def interpolate(self, x0: Tensor, x1: Tensor, t: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
        """Return `x0 + t (x1 - x0)` and `x1 - x0`: the general formula in fewer passes over the data."""
        line = x1 - x0
        return torch.addcmul(x0, bcast(t, x0), line), line


@dataclass(frozen=True)
class TrigBlend(Blend):
    """`a = r cos(pi t / 2)`, `b = r sin(pi t / 2)` with `r = sqrt(1 - gamma^2)`: where both ends are independent and of
    unit variance, so is the state at every time.
    """

    def refusal(self, gamma: Gamma) -> str | None:
        """Refuse noise whose deviation reaches one."""
        highest = float(gamma(torch.tensor([0.5], dtype=torch.float64)).gamma)
        return f"TrigBlend needs gamma < 1, got {highest:.3g} at t = 1/2: lower the scale" if highest >= 1 else None

    def __call__(self, t: Tensor, spread: Spread) -> Coefficients:
        """Return `b, a, b', a'` at `t`; the derivatives include that of r, `-gamma gamma' / r`."""
        half_pi = math.pi / 2
        sine, cosine = torch.sin(half_pi * t), torch.sin(half_pi * (1 - t))
        r = (1 - spread.gamma.square()).sqrt()
        d_r = -spread.product / r
        return Coefficients(r * sine, r * cosine, d_r * sine + half_pi * r * cosine, d_r * cosine - half_pi * r * sine)


@dataclass(frozen=True)
class EncodingDecoding(Blend):
    """`cos^2(pi t)` of x0 up to t = 1/2 and of x1 from there: every path goes through pure noise in the middle, where
    it forgets where it came from.
    """

    def __call__(self, t: Tensor, spread: Spread) -> Coefficients:
        """Return `b, a, b', a'` at `t`."""
        weight, slope = torch.cos(math.pi * t).square(), -math.pi * torch.sin(2 * math.pi * t)
        late = t > 0.5
        return Coefficients(weight * late, weight * ~late, slope * late, slope * ~late)

    def lone_end(self, c: Coefficients) -> tuple[Tensor, Tensor]:
        """Return the weight of whichever end is there."""
        return c.alpha + c.sigma, c.d_alpha + c.d_sigma


@dataclass(frozen=True)
class Mirror(Blend):
    """`x1` at all times: the state leaves the data for noise and comes back, for a source that is the target itself."""

    def __call__(self, t: Tensor, spread: Spread) -> Coefficients:
        """Return `b, a, b', a'` at `t`: 1 and three times 0."""
        zero = torch.zeros_like(t)
        return Coefficients(torch.ones_like(t), zero, zero, zero)

    def lone_end(self, c: Coefficients) -> tuple[Tensor, Tensor]:
        """Return the weight of x1."""
        return c.alpha, c.d_alpha
