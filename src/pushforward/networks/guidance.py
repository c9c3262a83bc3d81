"""Classifier-free guidance: push a conditional flow further in the direction of its condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, concatenate_conditions, withheld
from pushforward.contracts import Path, TrainedField, VelocityField
from pushforward.errors import InputError
from pushforward.tensors import bcast

__all__ = ["GUIDANCE", "ClassifierFree"]

GUIDANCE = "guidance"
"""The condition of networks that are told how far to exaggerate the others, and need no guiding from outside."""


@dataclass(frozen=True)
class ClassifierFree:
    """Guide a field that was trained with its condition dropped now and then: `v = v_null + scale (v_c - v_null)`.

    Scale 0 ignores the condition, 1 is the field itself (at no extra cost), above 1 exaggerates the condition. Outside
    the `interval` of times the field is left as it is. Each evaluation is one of the field, on a doubled batch. Without
    a condition nothing is guided. The score is guided by the same formula. The result is not the velocity of any known
    path, so it has no exact density.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "ho2022classifier",
            "Classifier-Free Diffusion Guidance",
            "Ho, Jonathan and Salimans, Tim",
            2022,
            arxiv="2207.12598",
        ),
        Reference(
            "kynkaanniemi2024applying",
            "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in Diffusion Models",
            "Kynkäänniemi, Tuomas and Aittala, Miika and Karras, Tero and others",
            2024,
            arxiv="2404.07724",
        ),
    )
    field: VelocityField
    scale: float
    interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "interval", tuple(self.interval))
        if not 0 <= self.interval[0] < self.interval[1] <= 1:
            raise InputError(f"interval is {self.interval}, wanted (low, high) with 0 <= low < high <= 1")

    @property
    def boundaries(self) -> tuple[float, ...]:
        """Times that a step must not cross: those of the field."""
        return getattr(self.field, "boundaries", ())

    @property
    def path(self) -> Path:
        """How the field's pairs were joined: its guided predictions convert into each other as its own do. Raises
        `AttributeError` for a field without one.
        """
        return cast(TrainedField, self.field).path

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the guided dx/dt at `x: (B, *event)`, `t: (B,)`."""
        return self._guide("velocity", x, t, condition)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the guided score. Raises `InputError` where the field has none."""
        return self._guide("score", x, t, condition)

    def _guide(self, kind: Literal["velocity", "score"], x: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
        evaluate = self.field.velocity if kind == "velocity" else self.field.score
        if condition is None or self.scale == 1:
            return evaluate(x, t, condition)
        both = concatenate_conditions([withheld(condition), condition])
        null, conditional = evaluate(torch.cat([x, x]), torch.cat([t, t]), both).chunk(2)
        if self.interval == (0.0, 1.0):
            return torch.lerp(null, conditional, self.scale)
        inside = (t >= self.interval[0]) & (t <= self.interval[1])
        return torch.lerp(null, conditional, bcast(torch.where(inside, self.scale, 1.0).to(x.dtype), x))
