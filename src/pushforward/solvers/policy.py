"""Following the policies of a network: one evaluation for each segment of time, however many steps are taken in it."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.networks import Policy, PolicyNetwork
from pushforward.solvers.affine_steps import coefficients, schedule_of
from pushforward.solvers.grid import Grid, GridRule, Uniform
from pushforward.solvers.integrate import Stepper
from pushforward.solvers.own_nodes import OwnNodes
from pushforward.solvers.velocity import Velocity

__all__ = ["PolicySteps", "policy_of"]


@dataclass(frozen=True)
class PolicySteps(OwnNodes):
    """Ask the network for a policy where each segment of the grid begins, and follow that to its end, in `substeps`
    small steps for a unit of time which cost no evaluation.

    Needs a network that says policies (`networks.MixtureHead`, `networks.DataGrid`) on an affine path, and runs
    forwards. A student of `PolicyImitation` knows the segments that it was trained on; those of another number of steps
    only if it was trained for them too. A path at other times than the nodes follows the same policies.
    """

    references: ClassVar[tuple[Reference, ...]] = Policy.references
    steps: int | None = 1
    substeps: int = 128
    grid: GridRule = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.substeps < 1:
            raise InputError(f"substeps must be at least 1, got {self.substeps}")

    def stepper(self, velocity: Velocity, generator: object) -> Stepper:
        """Return what takes the steps."""
        return _Followed(velocity, self.substeps)


class _Followed:
    """The stepper: between steps travels the grid, whose segments policies are asked for."""

    def __init__(self, velocity: Velocity, substeps: int) -> None:
        self.velocity, self.substeps, self.evaluations = velocity, substeps, 0

    def init(self, x: Tensor, grid: Grid) -> list[float]:
        if grid.end < grid.start:
            raise InputError("policies run forwards in time: what is trained of them cannot be pulled")
        return grid.nodes.tolist()

    def step(self, x: Tensor, s: float, e: float, state: list[float]) -> tuple[Tensor, list[float]]:
        self.evaluations += 1
        start, stop, end = (x.new_full((len(x),), time) for time in (s, e, state[bisect.bisect(state, s)]))
        policy = policy_of(self.velocity.field, x, start, end, self.velocity.condition)
        return policy.carried(x, start, stop, max(1, round(self.substeps * (e - s)))), state


def policy_of(field: VelocityField, x: Tensor, s: Tensor, e: Tensor, condition: Condition | None) -> Policy:
    """Return the policy of a trained field from the states `x: (B, *event)` at time s to time e, `(B,)` each. Raises
    `InputError` for one that says none.
    """
    network = getattr(field, "network", None)
    if not isinstance(network, PolicyNetwork):
        raise InputError(
            f"{type(network or field).__name__} says no policies: distil with pi-flow, and leave out guidance"
        )
    return network.policy(x, s, e, partial(coefficients, schedule_of(field)), condition)
