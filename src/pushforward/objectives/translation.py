"""Translation between the categories of a flow in one evaluation, learnt without pairs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError, nearest
from pushforward.networks import Criticised, Field
from pushforward.objectives.objective import Objective
from pushforward.solvers import Solver, VelocityAtEnd
from pushforward.tensors import flat_mean

__all__ = ["Translation"]


@dataclass(frozen=True)
class Translation(Objective):
    """Make of a flow that was trained with a category a translator between categories (TReFT): `G(x, c')`, what the
    `generator` makes of a point x of the data in one evaluation when it is told another category, drawn at random.

    `adversarial L_adv + L_critic + cycle |G(G(x, c'), c) - x| + identity |G(x, c) - x|`, absolute values averaged over
    the entries. The critic D sees points with their categories: `L_critic = max(0, 1 - D(x, c)) + max(0, 1 + D(G(x,
    c'), c'))`, `L_adv = -D(G(x, c'), c')`, each with gradient to one of the two. Both learn in the same steps.

    For a trained flow as `init` and the adapter `WithCritic`. Points to be translated are those of the target, in its
    units; `category` names the condition where there are several. The source of the pairs is not used. With
    `VelocityAtEnd` the translator begins as the identity; another generator, one Euler step say, does not.
    """

    references: ClassVar[tuple[Reference, ...]] = VelocityAtEnd.references
    from_target: ClassVar[bool] = True
    adversarial: float = 1.0
    cycle: float = 10.0
    identity: float = 5.0
    category: str = ""
    generator: Solver = field(default_factory=VelocityAtEnd)

    def __post_init__(self) -> None:
        if min(self.adversarial, self.cycle, self.identity) < 0:
            raise InputError(f"Translation: weights cannot be negative, got {self}")

    def sampler(self) -> Solver:
        """Return the generator."""
        return self.generator

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, with its four parts before their weights among the `terms`. Raises `InputError` for a field
        without a critic, without categories, and for pairs with known entries.
        """
        network = field.network
        if not isinstance(network, Criticised):
            raise InputError("Translation needs a trained flow as init, and the adapter WithCritic")
        if pairs.mask is not None:
            raise InputError("Translation has no known entries: use a coupling without a mask")
        x, told = path.target_end.encode(pairs.x1, pairs.condition), pairs.condition or {}
        other = told | self._others(told, field.schema, generator)
        made, same = (self._translated(field, x, each) for each in (other, told))
        back = self._translated(field, made, told)
        parts = {
            "adversarial": -flat_mean(network.judged(made, other, learns=False)),
            "critic": flat_mean(F.relu(1 - network.judged(x, told)) + F.relu(1 + network.judged(made.detach(), other))),
            "cycle": flat_mean((back - x).abs()),
            "identity": flat_mean((same - x).abs()),
        }
        weights = {"adversarial": self.adversarial, "critic": 1.0, "cycle": self.cycle, "identity": self.identity}
        per_sample = torch.stack([weights[name] * part for name, part in parts.items()]).sum(0)
        total = pairs.mean(per_sample)
        return Loss(total, {name: part.detach().mean() for name, part in parts.items()}, per_sample.detach())

    def _translated(self, field: Field, x: Tensor, condition: Condition) -> Tensor:
        return self.generator.solve(field, x, condition=condition).x

    def _others(self, told: Condition, schema: Schema, generator: torch.Generator | None) -> Condition:
        """Draw for each row another category than its own."""
        known = [name for name, column in schema.items() if column.categories is not None and name in told]
        name = self.category or (known[0] if len(known) == 1 else "")
        if name not in known:
            raise InputError(f"Translation goes between categories, got category={name!r}{nearest(name, known)}")
        own, count = told[name], len(schema[name].categories or ())
        if count < 2:
            raise InputError(f"Translation needs two categories, {name!r} has {count}")
        forward = torch.randint(1, count, own.shape, generator=generator, device=own.device, dtype=own.dtype)
        return {name: (own + forward) % count}
