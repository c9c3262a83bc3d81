"""Optimal transport between the noise and the velocities at one state: the inner coupling of hierarchical flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients, Pairs, PathPoint
from pushforward.errors import InputError
from pushforward.ot import solve
from pushforward.papers import HIERARCHICAL_COUPLINGS

__all__ = ["VelocityBank"]

NEAREST = 1e-3
"""Velocities towards other targets divide by sigma, which is at least this; there only a row's own target is near."""


@dataclass(frozen=True)
class VelocityBank:
    """Pair noise v0 and velocity v by optimal transport *given the state*, which keeps the law of v there.

    At each state the other targets y of the batch are as likely as the noise that would have led there, `omega_y
    proportional to exp(-|x - alpha y|^2 / (2 sigma^2))`. Of the velocities towards them, `size` are drawn with these
    weights and assigned to as many noises; one pair of each state is kept. Pairing noises and velocities across the
    batch instead would change the law of v given the state. The inner flow becomes nearly straight.

    Needs independent N(0, I) noise as the source, and no conditions.
    """

    references: ClassVar[tuple[Reference, ...]] = (HIERARCHICAL_COUPLINGS,)
    size: int = 8

    def __post_init__(self) -> None:
        if self.size < 1:
            raise InputError(f"a bank draws at least one velocity, got {self.size}")

    @torch.no_grad()
    def __call__(
        self, pairs: Pairs, point: PathPoint, now: Coefficients, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return noises and velocities `(B, *event)`, coupled given the states of `point`; `now` are the coefficients
        at their times. Raises `InputError` for other pairs.
        """
        if not pairs.gaussian_source or pairs.condition or pairs.weight is not None:
            raise InputError("a VelocityBank needs independent noise N(0, I), no conditions and no weights")
        v1 = self._velocities(point, now, generator)
        v0 = torch.randn(v1.shape, generator=generator, dtype=v1.dtype, device=v1.device)
        sources = solve(v0, v1, method="assignment").sample_sources(generator=generator)
        rows = torch.arange(len(v1), device=v1.device)
        return v0[rows, sources[:, 0]].view_as(point.v), v1[:, 0].reshape(point.v.shape)

    def _velocities(self, point: PathPoint, now: Coefficients, generator: torch.Generator | None) -> Tensor:
        """Draw velocities at every state: `(B, size, d)`."""
        x, y, own = point.x.flatten(1), point.x1.flatten(1), torch.arange(len(point.x), device=point.x.device)
        alpha, sigma = (value.double()[:, None] for value in (now.alpha, now.sigma.clamp(min=NEAREST)))
        reach = alpha * (x.double() @ y.double().mT) - 0.5 * alpha.square() * y.double().square().sum(1)
        chosen = torch.multinomial((reach / sigma.square()).softmax(1), self.size, True, generator=generator)
        c = [value[:, None, None] for value in (now.d_sigma, now.delta, now.sigma.clamp(min=NEAREST))]
        towards = (c[0] * x[:, None] + c[1] * y[chosen]) / c[2]
        return torch.where((chosen == own[:, None])[:, :, None], point.v.flatten(1)[:, None], towards)
