"""Sampling with a Gaussian mixture of velocities: exact stochastic transitions, and many small steps for one call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, withheld
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.measures import MixtureBatch
from pushforward.networks import MixtureHead, MixturePolicy, expected_targets
from pushforward.paths import bridge_step
from pushforward.solvers.affine_steps import coefficients
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.solver import GridSolver, Solver
from pushforward.solvers.velocity import Velocity
from pushforward.solvers.velocity_law import law_of

__all__ = ["MixtureODE", "MixtureSDE", "guided"]


class _Mixed(Protocol):
    def mixture(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> MixtureBatch: ...


@dataclass(frozen=True)
class _MixtureSolver(GridSolver):
    """A solver whose `guidance` is that of mixtures."""

    guidance: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.guidance < 1:
            wanted = "for a greater one name a method that follows the mean, for example euler"
            raise InputError(f"guidance of a mixture lies in [0, 1), got {self.guidance}: {wanted}")

    def guided(self, field: VelocityField, guidance: float) -> tuple[VelocityField, Solver]:
        """Return the field and this solver with another guidance."""
        return field, replace(self, guidance=guidance)


@dataclass(frozen=True)
class MixtureSDE(_MixtureSolver):
    """GM-SDE: draw the target point from the predicted mixture, then the next state from the Gaussian bridge there,
    `x_e ~ N(c1 x + c2 x1, c3 I)`.

    For an exact mixture every state has its exact law, at any number of steps. Needs an affine path from N(0, I) noise
    and a network that predicts a mixture; runs forwards. `guidance` as for `MixtureODE`.
    """

    references: ClassVar[tuple[Reference, ...]] = MixtureHead.references
    steps: int | None = 4
    grid: GridRule = field(default_factory=Uniform)

    stochastic: ClassVar[bool] = True

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        return _Bridges(velocity, self.guidance, generator)


@dataclass(frozen=True)
class MixtureODE(_MixtureSolver):
    """GM-ODE: integrate the flow in `substeps` for each evaluation of the network.

    The mixture predicted at `(x_s, s)` is one of target points, from which that at another state `(x, t)` near by
    follows (`networks.MixturePolicy`). Its mean is the prediction of x1 there. For an exact mixture the result is the
    flow itself, to the accuracy of the sub-steps (Euler's), whatever the number of steps.

    `guidance` in [0, 1) is the probabilistic guidance of a network trained with condition dropout: the mixture is
    reweighted so that its Gaussian fit moves away from the unconditional mean, by `guidance` deviations, and narrows to
    `1 - guidance^2` of its variance; two evaluations for each step. 0 is the conditional law itself. Needs what
    `MixtureSDE` needs.
    """

    references: ClassVar[tuple[Reference, ...]] = MixtureHead.references
    steps: int | None = 4
    substeps: int = 8
    grid: GridRule = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.substeps < 1:
            raise InputError(f"substeps must be at least 1, got {self.substeps}")

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        return _SubSteps(velocity, self.guidance, self.substeps)


class _Targets:
    """The predicted mixture of target points, guided where asked, with the calls of the network counted."""

    def __init__(self, velocity: Velocity, guidance: float) -> None:
        law, schedule = law_of(velocity.field)
        if not hasattr(law, "mixture"):
            raise InputError(f"{type(law).__name__} is a law without a mixture: fit with --network MixtureHead")
        self.law, self.condition, self.at = cast(_Mixed, law), velocity.condition, partial(coefficients, schedule)
        self.guidance, self.evaluations = guidance, 0

    def init(self, x: Tensor, grid: Grid) -> Any:
        if grid.nodes[-1] < grid.nodes[0]:
            raise InputError("mixtures of target points run forwards in time: pull with a method, for example euler")

    def targets(self, x: Tensor, s: float) -> MixtureBatch:
        """Return the mixtures of x1 given the state at time s."""
        t = x.new_full((len(x),), s)
        self.evaluations += 1
        velocity = self.law.mixture(x, t, self.condition)
        if self.guidance and self.condition is not None:
            self.evaluations += 1
            unconditional = self.law.mixture(x, t, withheld(self.condition)).mean()
            velocity = guided(velocity, unconditional, self.guidance)
        return velocity.affine(*expected_targets(x, self.at(s)))


class _Bridges(_Targets):
    """The stepper of `MixtureSDE`."""

    def __init__(self, velocity: Velocity, guidance: float, generator: torch.Generator | None) -> None:
        super().__init__(velocity, guidance)
        self.generator = generator

    def step(self, x: Tensor, s: float, e: float, state: Any) -> tuple[Tensor, Any]:
        law = bridge_step(self.at(s), self.at(e))
        x1 = self.targets(x, s).sample(generator=self.generator)
        z = torch.randn(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        deviation = float(law.variance.clamp(min=0).sqrt())
        return float(law.x_weight) * x + float(law.data_weight) * x1 + deviation * z, None


class _SubSteps(_Targets):
    """The stepper of `MixtureODE`."""

    def __init__(self, velocity: Velocity, guidance: float, count: int) -> None:
        super().__init__(velocity, guidance)
        self.count = count

    def step(self, x: Tensor, s: float, e: float, state: Any) -> tuple[Tensor, Any]:
        start, end = (x.new_tensor([time], dtype=torch.float64) for time in (s, e))
        policy = MixturePolicy(self.targets(x, s), x, self.at(start), self.at)
        return policy.carried(x, start, end, self.count), None


def guided(mixture: MixtureBatch, unconditional: Tensor, guidance: float) -> MixtureBatch:
    """Return the mixture, of mean m and mean variance S, multiplied by the ratio of two Gaussians: `N(m + delta, (1 -
    guidance^2) S I)`, guided, over `N(m, S I)`, its fit.

    `delta` is the part of `m - unconditional` at right angles to m, of size `guidance sqrt(S)` an entry. Rows that are
    not told a condition, where nothing is left of it, stay as they are.
    """
    m, variance = mixture.mean(), mixture.spread()
    flat, away = m.flatten(1), (m - unconditional).flatten(1)
    along = (away * flat).sum(1, keepdim=True) / flat.square().sum(1, keepdim=True).clamp(min=1e-12)
    delta = away - along * flat
    size = delta.square().mean(1, keepdim=True).clamp(min=1e-12).sqrt()
    strength = guidance * (away != 0).any(1).to(variance)
    delta = ((strength * variance.sqrt())[:, None] * delta / size).view_as(m)
    rows = (-1, *[1] * (m.ndim - 1))
    narrow, wide = (variance * (1 - strength.square())).view(rows), variance.view(rows)
    precision = 1 / narrow.flatten() - 1 / variance
    return mixture.tilted(precision, (m + delta) / narrow - m / wide)
