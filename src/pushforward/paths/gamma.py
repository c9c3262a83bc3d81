"""How much noise of its own an interpolant has at each time: none at the ends, where it meets the pair."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["BrownianGamma", "Gamma", "QuadraticGamma", "SigmoidGamma", "SineGamma", "Spread"]


class Spread(NamedTuple):
    """The deviation `gamma` of the noise at times t, its derivative, and the product of both, `(gamma^2)' / 2`, which
    is finite at the ends also where the derivative is not. Each `(B,)`.
    """

    gamma: Tensor
    d_gamma: Tensor
    product: Tensor


@dataclass(frozen=True)
class Gamma(ABC):
    """A function `gamma(t) = scale shape(t)`, positive inside (0, 1) and zero at both ends."""

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise InputError(f"{type(self).__name__} needs scale > 0, got {self.scale}: without noise use Affine()")

    @abstractmethod
    def __call__(self, t: Tensor) -> Spread:
        """Return `gamma, gamma', gamma gamma'` at `t`, each of the shape, dtype and device of `t`."""

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which `gamma'` is moderate."""
        return (0.0, 1.0)

    def _smooth(self, shape: Tensor, slope: Tensor) -> Spread:
        gamma, d_gamma = self.scale * shape, self.scale * slope
        return Spread(gamma, d_gamma, gamma * d_gamma)


@dataclass(frozen=True)
class BrownianGamma(Gamma):
    """`gamma = scale sqrt(t (1 - t))`, the spread of a Brownian bridge of diffusion `scale`.

    `gamma'` grows like `(t (1 - t))^(-1/2)` at the ends, so training keeps to [0.001, 0.999]; the product is `scale^2
    (1 - 2 t) / 2`.

    >>> BrownianGamma()(torch.tensor([0.0, 0.5])).product
    tensor([0.5000, 0.0000])
    """

    def __call__(self, t: Tensor) -> Spread:
        """Return the spread at `t`; `gamma'` is infinite at both ends."""
        root, half = (t * (1 - t)).sqrt(), 0.5 - t
        return Spread(self.scale * root, self.scale * half / root, self.scale**2 * half)

    @property
    def interval(self) -> tuple[float, float]:
        """Stops short of both ends."""
        return (1e-3, 1 - 1e-3)


@dataclass(frozen=True)
class QuadraticGamma(Gamma):
    """`gamma = scale t (1 - t)`: velocities are finite up to the ends."""

    def __call__(self, t: Tensor) -> Spread:
        """Return the spread at `t`."""
        return self._smooth(t * (1 - t), 1 - 2 * t)


@dataclass(frozen=True)
class SineGamma(Gamma):
    """`gamma = scale sin^2(pi t)`: starts and ends without speed."""

    def __call__(self, t: Tensor) -> Spread:
        """Return the spread at `t`."""
        return self._smooth(torch.sin(math.pi * t).square(), math.pi * torch.sin(2 * math.pi * t))


@dataclass(frozen=True)
class SigmoidGamma(Gamma):
    """A bump of two sigmoids, `s(f (t - 1/2) + 1) - s(f (t - 1/2) - 1)`, lowered to zero at the ends and times `scale`:
    the larger the `steepness` f, the more the noise keeps to the middle.
    """

    steepness: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.steepness < math.inf:
            raise InputError(f"SigmoidGamma needs steepness > 0, got {self.steepness}")

    def __call__(self, t: Tensor) -> Spread:
        """Return the spread at `t`."""
        u = self.steepness * (t - 0.5)
        rise, fall = torch.sigmoid(u + 1), torch.sigmoid(u - 1)
        edge = 1 / (1 + math.exp(self.steepness / 2 - 1)) - 1 / (1 + math.exp(self.steepness / 2 + 1))
        return self._smooth(rise - fall - edge, self.steepness * (rise * (1 - rise) - fall * (1 - fall)))
