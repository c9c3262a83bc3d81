"""Two observations: a degraded copy of a point, and a point with holes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.geometry import Masking, MaskLaw, Operator
from pushforward.observations import Observation, point_column, points_of

__all__ = ["Degraded", "Holed"]

OBSERVATION, KNOWN = "observation", "known"


@dataclass(frozen=True)
class Degraded(Observation):
    """What an operator keeps of a point, `m = A^+ A x1`; the flow starts from `m + noise x0`.

    The condition `observation` holds m, a point of the target's shape: for averaged images the small image with its
    pixels repeated, `operator.pseudo_inverse(small)`. Without noise one start would belong to many targets: the
    flow could not tell them apart.

    Raises `InputError` unless the noise is positive.
    """

    operator: Operator
    noise: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.noise < math.inf:
            raise InputError(f"Degraded needs a positive noise: one start has many targets, got noise={self.noise}")

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Add `observation`."""
        return _with_columns(schema, (OBSERVATION,), event_shape)

    def observe(
        self, x1: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Condition:
        """Return the condition with `observation`, `A^+ A x1` flattened; nothing is drawn."""
        return (condition or {}) | {OBSERVATION: self.operator.visible(x1).flatten(1)}

    def framed(self, condition: Condition | None, normalise: Callable[[Tensor], Tensor], x: Tensor) -> Condition:
        """Normalise the observation as a point and keep what the operator does of that."""
        given = normalise(_given(condition, OBSERVATION, x))
        return (condition or {}) | {OBSERVATION: self.operator.visible(given).flatten(1)}

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `m + noise x`."""
        return torch.add(points_of(condition, OBSERVATION, x), x, alpha=self.noise)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `(state - m) / noise`."""
        return (state - points_of(condition, OBSERVATION, state)) / self.noise

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `d log(noise)`."""
        return x.new_full((x.shape[0],), x[0].numel() * math.log(self.noise))


@dataclass(frozen=True)
class Holed(Observation):
    """A point of which some entries are known: the flow starts from those, with x0 in the holes, and moves only there.

    The condition `observation` holds the point (what stands in the holes is of no account), `known` is 1 for entries
    that are known and 0 for the others; in training they follow `masks`. Wrap the network in `FrozenWhereKnown`, so
    that known entries stay as they are to the last bit of the solver.
    """

    masks: MaskLaw

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Add `observation` and `known`."""
        return _with_columns(schema, (OBSERVATION, KNOWN), event_shape)

    def observe(
        self, x1: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Condition:
        """Return the condition with a drawn mask as `known` and what it leaves of the points as `observation`."""
        known = self.masks.draw(tuple(x1.shape), generator=generator).to(x1.device)
        kept = Masking(known).visible(x1)
        return (condition or {}) | {OBSERVATION: kept.flatten(1), KNOWN: known.to(x1.dtype).flatten(1)}

    def framed(self, condition: Condition | None, normalise: Callable[[Tensor], Tensor], x: Tensor) -> Condition:
        """Normalise what is known."""
        known = _given(condition, KNOWN, x) > 0.5
        kept = Masking(known).visible(normalise(points_of(condition, OBSERVATION, x)))
        _check_present(OBSERVATION, kept)
        return (condition or {}) | {OBSERVATION: kept.flatten(1), KNOWN: known.to(x.dtype).flatten(1)}

    def free(self, x1: Tensor, condition: Condition) -> Tensor:
        """Return where nothing is known."""
        return points_of(condition, KNOWN, x1) < 0.5

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return what is known, and `x` in the holes."""
        known = points_of(condition, KNOWN, x) > 0.5
        return torch.where(known, points_of(condition, OBSERVATION, x), x)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the state in the holes, and zero where the point is known, which x0 has no part in."""
        return torch.where(points_of(condition, KNOWN, state) > 0.5, 0, state)

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`: known entries have no density."""
        raise InputError("no density: entries that are known do not have one")


def _with_columns(schema: Schema, names: tuple[str, ...], event_shape: tuple[int, ...]) -> Schema:
    for name in names:
        if name in schema:
            raise InputError(f"the target already has a condition {name!r}: give it another name")
    return schema | {name: point_column(event_shape) for name in names}


def _given(condition: Condition | None, name: str, x: Tensor) -> Tensor:
    points = points_of(condition, name, x)
    _check_present(name, points)
    return points


def _check_present(name: str, points: Tensor) -> None:
    if bool(points.isnan().any()):
        raise InputError(f"the flow starts from what is known of its end: the condition {name!r} is missing somewhere")
