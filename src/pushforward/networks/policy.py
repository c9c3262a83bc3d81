"""Policies: velocities in closed form that a network says once and that are followed without it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import Coefficients, ScheduleFn
from pushforward.measures import MixtureBatch
from pushforward.networks.time_basis import Interpolated, TimeBasis
from pushforward.tensors import bcast

__all__ = ["GridPolicy", "MixturePolicy", "Policy", "PolicyNetwork", "expected_targets"]


class Policy(ABC):
    """A velocity that is good for a segment of time, `pi(x, t)`: what a network says once of the state where the
    segment begins, without which it is then followed. It says where points end, and `schedule` of an affine path the
    rest.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "chen2025piflow",
            "pi-Flow: Policy-Based Few-Step Generation via Imitation Distillation",
            "Chen, Hansheng and Zhang, Kai and Tan, Hao and Guibas, Leonidas and Wetzstein, Gordon and Bi, Sai",
            2025,
            arxiv="2510.14974",
        ),
    )
    schedule: ScheduleFn

    @abstractmethod
    def data(self, x: Tensor, t: Tensor, now: Coefficients | None = None) -> Tensor:
        """Return the target point that a point is on its way to which is at `x: (B, C, *rest)` at time `t: (B,)`
        below 1; `now` are the coefficients of the path then, if they are known.
        """

    @abstractmethod
    def detached(self, dropout: float = 0.0, *, generator: torch.Generator | None = None) -> Self:
        """Return the same policy without gradient, each of its components left out with probability `dropout`, if it
        has any; one always stays.
        """

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """Return `pi(x, t)` at `x: (B, C, *rest)`, at time `t: (B,)` below 1."""
        now = self.schedule(t)
        x1 = self.data(x, t, now)
        alpha, sigma, d_alpha, d_sigma = (bcast(c.to(x), x) for c in now)
        return d_alpha * x1 + d_sigma * (x - alpha * x1) / sigma

    def carried(self, x: Tensor, s: Tensor, e: Tensor, substeps: int) -> Tensor:
        """Return where points at `x` at time s are at time e, `(B,)` or `(1,)` each, after so many equal steps, in each
        of which the ends of the way stay as they are: Euler's on straight paths.
        """
        time, now = s, self.schedule(s)
        for number in range(1, substeps + 1):
            x1 = self.data(x, time, now)
            time = torch.lerp(s, e, number / substeps)
            then = self.schedule(time)
            keep = then.sigma / now.sigma
            forward = then.alpha - keep * now.alpha
            x, now = bcast(keep.to(x), x) * x + bcast(forward.to(x), x) * x1, then
        return x


@dataclass(frozen=True)
class GridPolicy(Policy):
    """A target point that changes with time from s to e, whatever the state (DX): that which `basis` makes of
    `points: (B, N, C, *rest)`, target points at equal times or coefficients of a polynomial.
    """

    points: Tensor
    s: Tensor
    e: Tensor
    schedule: ScheduleFn
    basis: TimeBasis = field(default_factory=Interpolated)

    def data(self, x: Tensor, t: Tensor, now: Coefficients | None = None) -> Tensor:
        """Return the point of that time."""
        return self.basis(self.points, t - self.s, self.e - self.s)

    def detached(self, dropout: float = 0.0, *, generator: torch.Generator | None = None) -> Self:
        """Return it without gradient: it has no components."""
        return replace(self, points=self.points.detach())


@dataclass(frozen=True)
class MixturePolicy(Policy):
    """A Gaussian mixture of target points, `targets`, given that the state was `first` when the path had the
    coefficients `anchor`, `(B,)` or `(1,)` each. At another state it is multiplied by the Gaussian in x1 that the two
    states differ by, of precision `alpha_t^2 / sigma_t^2 - alpha_s^2 / sigma_s^2` and natural mean `alpha_t x_t /
    sigma_t^2 - alpha_s x_s / sigma_s^2`. For an exact mixture this is the flow itself.
    """

    targets: MixtureBatch
    first: Tensor
    anchor: Coefficients
    schedule: ScheduleFn

    def data(self, x: Tensor, t: Tensor, now: Coefficients | None = None) -> Tensor:
        """Return the mean of the mixture at that state."""
        then, before = self.schedule(t) if now is None else now, self.anchor
        natural, natural0 = (c.alpha / c.sigma**2 for c in (then, before))
        precision = natural * then.alpha - natural0 * before.alpha
        shift = bcast(natural.to(x), x) * x - bcast(natural0.to(x), x) * self.first
        return self.targets.tilted(precision.to(x), shift).mean()

    def detached(self, dropout: float = 0.0, *, generator: torch.Generator | None = None) -> Self:
        """Return it without gradient, with some components left out."""
        log_weight, means, variance = (
            value.detach() for value in (self.targets.log_weight, self.targets.means, self.targets.variance)
        )
        if dropout > 0:
            shape = (*log_weight.shape[:2], *[1] * (log_weight.ndim - 2))
            u = torch.rand(shape, generator=generator, dtype=means.dtype, device=means.device)
            left_out = (u < dropout) & (u < u.amax(1, keepdim=True))
            log_weight = log_weight.masked_fill(left_out, -torch.inf)
        return replace(self, targets=MixtureBatch(log_weight, means, variance), first=self.first.detach())


def expected_targets(x: Tensor, now: Coefficients) -> tuple[Tensor, Tensor]:
    """Return scale `(B,)` and shift of `x1 = scale v + shift`, the target point of a state `x: (B, *event)` that moves
    with velocity v: `x1 = (sigma v - sigma' x) / Delta`.
    """
    scale, shift = ((c / now.delta).to(x).expand(len(x)) for c in (now.sigma, -now.d_sigma))
    return scale, bcast(shift, x) * x


@runtime_checkable
class PolicyNetwork(Protocol):
    """A network that says policies. `velocities` is the number of its heads that are velocities, the first ones."""

    network: torch.nn.Module
    velocities: int

    def policy(
        self, x: Tensor, s: Tensor, e: Tensor, schedule: ScheduleFn, condition: Condition | None = None
    ) -> Policy:
        """Return the policy from the states `x: (B, C, *rest)` at time s to time e, `(B,)` each, on the affine path of
        a schedule.
        """
        ...
