"""Fenchel-Young matching: the regression that belongs to a convex cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.geometry import ConvexCost, SquaredEuclidean
from pushforward.networks import Field, Potential
from pushforward.objectives.flow_matching import within
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform

__all__ = ["FenchelYoungMatching"]


@dataclass(frozen=True)
class FenchelYoungMatching(Objective):
    """`E [h*(p) - <v, p> + h(v)] / d` with v the velocity of the path, p the momentum that the network predicts at its
    point, and `c(x, y) = h(y - x)` the `cost`: never negative, and zero where `p = grad h(v)` (c-rectified flow).

    With the network `GradientOf(cost=...)` p is the gradient of a potential, and the flow keeps both marginals while
    the expected cost of its pairs does not grow; rectified again and again (`SelfGenerated`), it comes to rest at
    optimal transport for this cost under conditions of regularity, which disconnected supports do not meet. With any
    other network, p is the momentum `grad h` of its velocity, and the minimiser is that of flow matching: all convex
    costs fall then, and none to its minimum. For the squared distance the loss is `|v - prediction|^2 / d`.

    Costs are in the units of the network: give two data sets, which share one scale, or `normalise="none"`.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "liu2022rectified",
            "Rectified Flow: A Marginal Preserving Approach to Optimal Transport",
            "Liu, Qiang",
            2022,
            arxiv="2209.14577",
        ),
    )
    cost: ConvexCost = field(default_factory=SquaredEuclidean)
    time: TimeLaw = field(default_factory=Uniform)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for a field that does not predict velocity, a potential for another
        cost, and pairs with a mask.
        """
        if field.predicts != ("velocity",) or pairs.mask is not None:
            raise InputError("FenchelYoungMatching needs a field that predicts velocity, and pairs without a mask")
        x1 = pairs.x1
        times = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype)
        point = path.point(pairs, within(times, path.interval), generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        momentum, v = self._momentum(field, point.x, point.t, condition), point.v.flatten(1)
        gap = self.cost.conjugate(momentum) - (v * momentum).sum(1) + self.cost.of(v)
        loss = gap / v.shape[1]
        return Loss(pairs.mean(loss), {}, loss.detach())

    def _momentum(self, field: Field, x: Tensor, t: Tensor, condition: dict[str, Tensor] | None) -> Tensor:
        """Return the momentum of each row, flattened: of a potential its own, which its velocity knows less well."""
        if not isinstance(field.network, Potential):
            return self.cost.gradient(field(x, t, condition).flatten(1))
        if field.network.cost != self.cost:
            raise InputError(f"the potential is one for {field.network.cost}, the objective for {self.cost}")
        return field.network.momentum(x, t, condition).flatten(1)
