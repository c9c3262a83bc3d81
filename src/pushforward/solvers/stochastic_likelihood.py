"""The log-density along a stochastic solver's own paths, run backwards from the points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pushforward.solvers.diffusion import Diffusion
from pushforward.solvers.divergence import divergence
from pushforward.solvers.grid import Grid
from pushforward.solvers.integrate import CountedStepper
from pushforward.solvers.velocity import Velocity

__all__ = ["DensityAlongPaths"]


class DensityAlongPaths(CountedStepper):
    """The stepper of `dY = (v - eps^2 score / 2) dt + eps dW` run from t = 1 to 0, by Euler-Maruyama, that collects
    what the log-density loses on the way.

    With `f = v + eps^2 score / 2`, the drift of the forward equation, and time running backwards,

        log p_1(Y_1) = log p_0(Y_0) - integral (div f + eps^2 |score|^2 / 2) dt - integral eps score . dW.

    The last integral has mean zero, whatever the score; with it the right-hand side varies from path to path only as
    far as the score is wrong. `loss: (B,)` is the sum of both integrals so far. Its expectation belongs to the law of
    the forward equation as far as velocity and score are exact; the steps add an error of first order.

    `signs: (probes, B, *event)` estimate the divergence; `None` for the exact one. Source: Albergo et al. (2023),
    *Stochastic interpolants*, section 2.5, whose formula leaves out the last integral.
    """

    def __init__(
        self, velocity: Velocity, diffusion: Diffusion, signs: Tensor | None, *, generator: torch.Generator | None
    ) -> None:
        super().__init__(velocity)
        self.diffusion, self.signs, self.generator = diffusion, signs, generator
        self.loss = torch.zeros(())

    def init(self, x: Tensor, grid: Grid) -> None:
        """Start with no loss."""
        self.loss = x.new_zeros(len(x))

    def step(self, x: Tensor, s: float, e: float, state: None) -> tuple[Tensor, None]:
        """Go back from `s` to `e < s`."""
        eps, h = self.diffusion(s), s - e
        scores: list[Tensor] = []

        def forward(point: Tensor) -> Tensor:
            v, score = self.velocity.with_score(point, s)
            scores.append(score)
            return torch.add(v, score, alpha=eps**2 / 2)

        drift, trace = divergence(forward, x, noise=self.signs)
        score = scores[0] if torch.is_grad_enabled() else scores[0].detach()
        kick = eps * math.sqrt(h) * torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        norm, turn = score.square().flatten(1).sum(1), (score * kick).flatten(1).sum(1)
        self.loss = self.loss + h * torch.add(trace, norm, alpha=eps**2 / 2) + turn
        return x - h * torch.sub(drift, score, alpha=eps**2) + kick, None
