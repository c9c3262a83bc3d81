"""Learning how the velocity of a trained field changes in a short step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pushforward.citations import Reference
from pushforward.conditions import drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field, Refined, Refiner
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.tensors import bcast, flat_mean

__all__ = ["VelocityRefinement"]


@dataclass(frozen=True)
class VelocityRefinement(Objective):
    """`E |v + r(y, t + dt, v) - v(y, t + dt)|^2 / d` with `v = v(x_t, t)` of the frozen field and `y = x_t + dt v`: for
    a trained flow as `init` and `Refiner` as the adapter, of which r alone learns.

    States are those of the path, `dt` is uniform in `[0, largest_step]`, one for each batch, and stops at t = 1. With
    `condition_dropout` the field and r see no condition in some rows, for guidance later (leave it at zero for a field
    that did not learn to do without). The term `unexplained` is the loss over that of `r = 0`.
    """

    references: ClassVar[tuple[Reference, ...]] = Refiner.references
    time: TimeLaw = field(default_factory=Uniform)
    largest_step: float = 0.12
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.largest_step <= 1 or not 0 <= self.condition_dropout <= 1:
            raise InputError(f"VelocityRefinement needs largest_step in (0, 1] and a probability, got {self}")

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field without a refiner."""
        network = field.network
        if not isinstance(network, Refined):
            raise InputError("VelocityRefinement needs a trained flow as init, and the adapter Refiner")
        x1 = pairs.x1
        times = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype)
        point = path.point(pairs, times, generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        step = self.largest_step * torch.rand((), generator=generator, dtype=x1.dtype, device=x1.device)
        later = (point.t + step).clamp(max=1.0)
        with torch.no_grad():
            before = network(point.x, point.t, condition)
            y = torch.addcmul(point.x, bcast(later - point.t, before), before)
            exact = network(y, later, condition)
        error = flat_mean((network.refined(y, later, before, condition) - exact).square())
        total = pairs.mean(error)
        unexplained = error.detach().mean() / (before - exact).square().mean()
        return Loss(total, {"unexplained": unexplained}, error.detach())
