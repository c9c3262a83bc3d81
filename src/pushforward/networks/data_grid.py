"""Networks that predict where a point is going at several times of the segment ahead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import ScheduleFn
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP
from pushforward.networks.policy import GridPolicy, Policy, expected_targets
from pushforward.networks.time_basis import Interpolated, TimeBasis
from pushforward.networks.two_time import JUMP, told_of_jump
from pushforward.tensors import bcast

__all__ = ["DataGrid", "DataGridLaw"]


@dataclass(frozen=True)
class DataGrid(Architecture):
    """Predict, for a segment of time from s to e, the target point at `points` equal times of it: the policy of a
    student that follows it without further evaluations (`GridPolicy`, the DX policy of pi-Flow). With the `basis`
    `TimePolynomial` it predicts as many coefficients of a polynomial of time instead.

    All come from the heads of one `network`, target points each as a velocity of the state at s, which is told the
    length of the segment as one more covariate. As a velocity field it is the first. Trained by
    `objectives.PolicyImitation`.

    >>> net = DataGrid(4, MLP(width=8)).build((2,), {})
    >>> net(torch.zeros(5, 2), torch.zeros(5)).shape
    torch.Size([5, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = Policy.references
    points: int = 10
    network: Architecture = field(default_factory=MLP)
    basis: TimeBasis = field(default_factory=Interpolated)

    def __post_init__(self) -> None:
        if self.points < 1:
            raise InputError(f"DataGrid needs at least one point, got {self.points}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity, and where it is to jump."""
        if heads != 1:
            raise InputError(f"DataGrid predicts the velocity alone, not {heads} things")
        if JUMP in schema:
            raise InputError("DataGrid says policies and no jumps: train it by PolicyImitation")
        return DataGridLaw(told_of_jump(self.network, event_shape, schema, self.points), self.points, self.basis)


class DataGridLaw(nn.Module):
    """The module of `DataGrid`, whose heads that are target points are `velocities` first."""

    def __init__(self, network: nn.Module, points: int, basis: TimeBasis) -> None:
        super().__init__()
        self.network, self.points, self.basis = network, points, basis
        self.velocities = basis.whole(points)

    def policy(
        self, x: Tensor, s: Tensor, e: Tensor, schedule: ScheduleFn, condition: Condition | None = None
    ) -> GridPolicy:
        """Return the policy from the states `x: (B, C, *rest)` at time s to time e."""
        said = self._said(x, s, e - s, condition)
        scale, shift = expected_targets(x, schedule(s))
        scaled = bcast(scale, said) * said
        points = torch.cat([scaled[:, : self.velocities] + shift.unsqueeze(1), scaled[:, self.velocities :]], 1)
        return GridPolicy(points, s, e, schedule, self.basis)

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the velocity at the beginning of a segment without length: `(B, C, *rest)`."""
        return self._said(x, t, t.new_zeros(len(t)), condition)[:, 0]

    def _said(self, x: Tensor, s: Tensor, length: Tensor, condition: Condition | None) -> Tensor:
        value = self.network(x, s, (condition or {}) | {JUMP: length[:, None]})
        return value.unflatten(1, (self.points, x.shape[1]))
