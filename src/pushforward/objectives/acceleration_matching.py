"""Learning the acceleration of points that know the velocity they started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.conditions import check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.paths import Accelerated, Acceleration
from pushforward.tensors import bcast, flat_mean

__all__ = ["AccelerationMatching"]


@dataclass(frozen=True)
class AccelerationMatching(Objective):
    """`E |a(x_t, t, v0) - (2 (x1 - x0) - 2 v0)|^2 / d` on `x_t = (1 - t^2) x0 + t^2 x1 + v0 (t - t^2)`, with the
    velocity v0 that the frozen field says at `(x0, 0)`: for a trained flow as `init` and `Acceleration` as the
    adapter.

    State and target hold what the field says and not the velocity of the pair, so that the acceleration makes up for
    its errors: `x0 + v0 + a / 2 = x1` exactly. Pairs should be deterministic, `SelfGenerated` or `Matched`. With
    `condition_dropout` rows see no condition. The term `unexplained` is the loss over that of `a = 0`.
    """

    references: ClassVar[tuple[Reference, ...]] = Acceleration.references
    time: TimeLaw = field(default_factory=Uniform)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field without an acceleration and for pairs with known entries."""
        network = field.network
        if not isinstance(network, Accelerated):
            raise InputError("AccelerationMatching needs a trained flow as init, and the adapter Acceleration")
        if pairs.mask is not None:
            raise InputError("AccelerationMatching has no known entries: use a coupling without a mask")
        x0, x1 = pairs.x0, pairs.x1
        t = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype).input
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        with torch.no_grad():
            initial = network.initial(x0, torch.zeros_like(t), condition)
        target, time = 2 * (x1 - x0 - initial), bcast(t, x0)
        x = x0 + time * (initial + time * target / 2)
        error = flat_mean((network.acceleration(x, t, initial, condition) - target).square())
        total = pairs.mean(error)
        unexplained = error.detach().mean() / target.square().mean().clamp(min=1e-30)
        return Loss(total, {"unexplained": unexplained}, error.detach())
