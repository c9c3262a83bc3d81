"""Stochastic sampling with tunable diffusion: Euler-Maruyama and stochastic Heun.

For every `eps(t) >= 0` the SDE `dx = [v + (eps^2 / 2) score] dt + eps dW` has the marginals of the ODE `dx = v dt`; run
backwards in time, `dx = [v - (eps^2 / 2) score] dt + eps dW` has.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from pushforward.solvers.diffusion import Diffusion
from pushforward.solvers.grid import Grid
from pushforward.solvers.integrate import CountedStepper
from pushforward.solvers.runge_kutta import TABLEAUS, advance
from pushforward.solvers.velocity import Velocity

__all__ = ["EulerMaruyama", "StochasticHeun"]


class _Stochastic(CountedStepper, ABC):
    """What the schemes share. The last step is deterministic, because noise added there would never be removed.

    The noise of a step has the size `eps(s)`; drifts have that of their own time, so that no step without noise has a
    drift of one.
    """

    def __init__(self, velocity: Velocity, diffusion: Diffusion, *, generator: torch.Generator | None = None) -> None:
        super().__init__(velocity)
        self.diffusion, self.generator = diffusion, generator
        self.direction = 1

    def init(self, x: Tensor, grid: Grid) -> float:
        """Return the time where the last step starts."""
        self.direction = 1 if grid.end > grid.start else -1
        return float(grid.nodes[-2])

    def step(self, x: Tensor, s: float, e: float, state: float) -> tuple[Tensor, float]:
        """Advance from `s` to `e`."""
        eps = 0.0 if s == state else self.diffusion(s)
        return self._advance(x, s, e, eps), state

    @abstractmethod
    def _advance(self, x: Tensor, s: float, e: float, eps: float) -> Tensor:
        """Take one step with the diffusion `eps`."""

    def _drift(self, x: Tensor, t: float, eps: float) -> Tensor:
        """Return `v + (eps^2 / 2) score`, with a minus backwards; without noise the score is not evaluated."""
        if eps == 0:
            return self.velocity(x, t)
        v, score = self.velocity.with_score(x, t)
        return torch.add(v, score, alpha=self.direction * eps**2 / 2)

    def _kick(self, x: Tensor, h: float, eps: float) -> Tensor:
        if eps == 0:
            return x
        z = torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        return torch.add(x, z, alpha=eps * math.sqrt(abs(h)))


class EulerMaruyama(_Stochastic):
    """The stepper `x + h (v + (eps^2 / 2) score) + eps sqrt(h) z`; weak order one. The last step is Euler's on the
    velocity alone.
    """

    def _advance(self, x: Tensor, s: float, e: float, eps: float) -> Tensor:
        return self._kick(torch.add(x, self._drift(x, s, eps), alpha=e - s), e - s, eps)


class StochasticHeun(_Stochastic):
    """Add the step's noise first, then take Heun's step on the drift `v + (eps^2 / 2) score`. The last step is Heun's
    on the velocity alone.

    Twice the evaluations of Euler-Maruyama.
    """

    def _advance(self, x: Tensor, s: float, e: float, eps: float) -> Tensor:
        x = self._kick(x, e - s, eps)
        slope = self._drift(x, s, eps)
        ahead = self._drift(torch.add(x, slope, alpha=e - s), e, self.diffusion(e) if eps else 0.0)
        return advance(x, [slope, ahead], TABLEAUS["heun"].b, e - s)
