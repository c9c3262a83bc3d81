"""Guidance as a condition: the network is told how far to exaggerate the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Column, Condition, Schema, drop_rows
from pushforward.contracts import PathPoint
from pushforward.errors import InputError
from pushforward.networks import GUIDANCE, Field
from pushforward.objectives.flow_maps.velocities import VelocityRule, unconditioned
from pushforward.tensors import bcast

__all__ = ["Intrinsic"]


@dataclass(frozen=True)
class Intrinsic(VelocityRule):
    """Classifier-free guidance of every scale omega in [1, `maximum`] built into one map, which is told omega: `v_null
    + omega (c - v_null)` in the place of the pair's velocity c, `v_null = u(x; s, s | nothing)`. Each row draws its
    omega.

    Guidance enters here alone, and targets of longer jumps are made with the same omega as input: it does not compound
    from level to level. The scale is one more condition, `guidance`, 1 wherever nothing is said: push with
    `guidance=2`, one evaluation a jump. Rows whose conditions were dropped keep the velocity of the pair; train with
    `condition_dropout`. Raises `InputError` where there are no conditions to guide by.
    """

    maximum: float = 3.0

    def __post_init__(self) -> None:
        if not 1 < self.maximum < math.inf:
            raise InputError(f"Intrinsic needs a maximum above 1, got {self.maximum}")

    def schema(self, schema: Schema) -> Schema:
        """Return the schema with the scale."""
        if not schema or GUIDANCE in schema:
            raise InputError("Intrinsic guides by conditions, and adds one called 'guidance': give it others")
        middle, spread = (1 + self.maximum) / 2, (self.maximum - 1) / math.sqrt(12)
        return schema | {GUIDANCE: Column(None, 1, middle, spread, default=1.0)}

    def told(
        self, condition: Condition | None, s: Tensor, *, generator: torch.Generator | None = None
    ) -> Condition | None:
        """Return the conditions with a scale for each row, 1 where the others were dropped."""
        if not condition:
            raise InputError("guidance needs conditions to guide by: leave out the velocity Intrinsic")
        drawn = torch.rand(len(s), generator=generator, device=s.device, dtype=s.dtype)
        scale = torch.where(unconditioned(condition), 1.0, 1 + (self.maximum - 1) * drawn)
        return condition | {GUIDANCE: scale[:, None]}

    def __call__(self, field: Field, point: PathPoint, condition: Condition | None, moving: int) -> Tensor:
        """Return the guided velocities, with one evaluation."""
        assert condition is not None  # by `told`
        scale = condition[GUIDANCE]
        nothing = drop_rows({name: column for name, column in condition.items() if name != GUIDANCE}, 1.0) or {}
        with torch.no_grad():
            null = field.velocity(point.x, point.t, nothing | {GUIDANCE: torch.ones_like(scale)})
        return torch.lerp(null, point.v, bcast(scale[:, 0].to(null), null))
