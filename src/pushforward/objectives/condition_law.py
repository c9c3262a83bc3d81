"""What training does to conditions: laws that change them, given the times, before the network sees them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.errors import InputError, nearest
from pushforward.papers import CONDITION_LEAKAGE
from pushforward.tensors import bcast

__all__ = ["ConditionLaw", "TimeNoise"]


class ConditionLaw(ABC):
    """Changes the conditions of a training batch, and may tell the network how."""

    def schema(self, schema: Schema) -> Schema:
        """Return what the conditions mean that the network sees: the same, unless columns are added. Raises
        `InputError` where the law does not fit them.
        """
        return schema

    @abstractmethod
    def __call__(
        self, condition: Condition | None, t: Tensor, schema: Schema, *, generator: torch.Generator | None = None
    ) -> Condition | None:
        """Return the conditions to train on at times `t: (B,)`; `schema` is that of the network."""


@dataclass(frozen=True)
class TimeNoise(ConditionLaw):
    """Noise on a continuous condition, strong while the state is noise and weaker near the data: the network cannot
    read the answer off the condition, and has to look at the state.

    `c~ = c + beta s eps` with `eps ~ N(0, I)` of the condition's shape, s its deviation, and the level `beta = maximum
    sigmoid(mu + n)`, `mu = 2 (1 - t)^power - 1`, `n ~ N(0, 1)`, one for each row. The network is told the level as a
    further condition, `NAME noise`, which is 0 wherever nothing else is said: sampling goes by the clean condition.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONDITION_LEAKAGE,)
    name: str = "condition"
    maximum: float = 15.0
    power: float = 5.0

    def __post_init__(self) -> None:
        if not (0 < self.maximum < math.inf and self.power > 0):
            raise InputError(f"TimeNoise needs a positive maximum and power, got {self.maximum} and {self.power}")

    def schema(self, schema: Schema) -> Schema:
        """Return the schema with the level. Raises `InputError` where the condition is missing or a category."""
        if self.name not in schema:
            raise InputError(f"TimeNoise: no condition {self.name!r}{nearest(self.name, schema)}")
        if schema[self.name].categories is not None:
            raise InputError(f"TimeNoise needs a continuous condition, {self.name!r} has categories")
        return schema | {self._level_name: Column(default=0.0)}

    @property
    def _level_name(self) -> str:
        return f"{self.name} noise"

    def __call__(
        self, condition: Condition | None, t: Tensor, schema: Schema, *, generator: torch.Generator | None = None
    ) -> Condition | None:
        """Return the conditions with noise on one of them, and its level. Raises `InputError` where it is missing."""
        if condition is None or self.name not in condition:
            raise InputError(f"TimeNoise: the pairs have no condition {self.name!r}")
        clean = condition[self.name]
        level = self.level(t.to(clean), generator=generator)
        eps = torch.randn(clean.shape, generator=generator, dtype=clean.dtype, device=clean.device)
        noisy = clean + bcast(level * schema[self.name].scale, clean) * eps
        return condition | {self.name: noisy, self._level_name: level[:, None]}

    def level(self, t: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw the levels at times `t`: `(B,)`."""
        n = torch.randn(t.shape, generator=generator, dtype=t.dtype, device=t.device)
        return self.maximum * torch.sigmoid(2 * (1 - t).pow(self.power) - 1 + n)
