"""Imitation: a policy that moves points as a trained flow would, where the policy itself takes them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, take
from pushforward.contracts import Loss, Pairs, Path, Sides, Times
from pushforward.errors import InputError
from pushforward.networks import Field, Policy
from pushforward.objectives.flow_maps.curriculum import Curriculum, Held
from pushforward.objectives.flow_maps.velocities import Taught
from pushforward.objectives.objective import Objective
from pushforward.objectives.regression import Regression
from pushforward.solvers import GridRule, PolicySteps, Uniform, policy_of
from pushforward.tensors import bcast

__all__ = ["PolicyImitation"]


@dataclass(frozen=True)
class PolicyImitation(Objective):
    """`E |pi(x_t, t) - v(x_t, t)|^2 / d` of the policy that the network says at the beginning of a segment of time, and
    the velocity v of a trained flow, at states x_t to which the policy itself has carried the point: imitation, so that
    its own errors are seen and corrected.

    For students of as many evaluations as `budgets` says, one or several; `grid` lays out the segments. A segment
    begins at a state of the path between data and noise, which for one evaluation is noise alone. From there a copy of
    the policy without gradient, some of its components left out with probability `dropout`, is followed to `times`
    random times, in `substeps` steps for a unit of time; only what the policy says there is learnt from. Times of the
    last step before 1, where a velocity is a quotient of two small numbers, are left out.

    With `mixing` rho, the first fraction rho of the way from one of these times to the next is an Euler step of the
    flow instead, and the policy takes the rest: where a policy would lead astray at first, let rho fall from 1 to 0
    early in the training, as `Sigmoidal(end=0.2)` does. Each step costs an evaluation of the flow, as long as rho is
    not 0.

    `taught` is the flow: the `teacher` of `fit`, or the one it goes on from (`init`, with the adapter `PolicyHead`),
    with guidance if wanted, which is then built in.
    """

    references: ClassVar[tuple[Reference, ...]] = Policy.references
    budgets: tuple[int, ...] = (1,)
    grid: GridRule = field(default_factory=Uniform)
    taught: Taught = field(default_factory=Taught)
    times: int = 2
    substeps: int = 128
    dropout: float = 0.05
    mixing: Curriculum = field(default_factory=lambda: Held(0.0))

    def __post_init__(self) -> None:
        object.__setattr__(self, "budgets", tuple(self.budgets))
        if not self.budgets or min(self.budgets) < 1 or self.times < 1 or self.substeps < 2:
            raise InputError(f"PolicyImitation needs budgets, times and substeps of at least 1, 1 and 2, got {self}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout is a probability below 1, got {self.dropout}")

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this objective with its teacher."""
        return replace(self, taught=self.taught.prepared(sides))

    def at(self, progress: float) -> Self:
        """Return this objective with the mixing of that time."""
        return replace(self, mixing=Held(self.mixing(progress)))

    def sampler(self) -> PolicySteps:
        """Return the steps of the first budget."""
        return PolicySteps(self.budgets[0], grid=self.grid)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss, with the mixing of the end of training unless `at` says when it is. Raises `InputError` for
        a network that says no policies.
        """
        s, e = self._segments(pairs.x1, generator)
        x = path.point(pairs, Times(s, s, torch.zeros_like(s)), generator=generator).x
        policy = policy_of(field, x, s, e, pairs.condition)
        states, times = self._followed(policy, x, s, e, pairs.condition, generator)
        said = torch.cat([policy.velocity(x, t) for x, t in zip(states, times, strict=True)])
        rows = torch.arange(len(pairs), device=x.device).repeat(self.times)
        target = self.taught.at(torch.cat(states), torch.cat(times), take(pairs.condition, rows))
        loss = Regression(said, (target,), pairs[rows], (None,), field.predicts).loss()
        assert loss.per_sample is not None
        return replace(loss, per_sample=loss.per_sample.view(self.times, -1).mean(0))

    def _segments(self, like: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw where segments begin and end, `(B,)` each: a budget, and one of its segments."""
        ends = [pair for budget in self.budgets for pair in pairwise(self.grid(budget).nodes.tolist())]
        chance = like.new_tensor([1 / budget for budget in self.budgets for _ in range(budget)])
        drawn = torch.multinomial(chance, len(like), replacement=True, generator=generator)
        s, e = like.new_tensor(ends)[drawn].unbind(1)
        return s, e

    @torch.no_grad()
    def _followed(
        self,
        policy: Policy,
        x: Tensor,
        s: Tensor,
        e: Tensor,
        condition: Condition | None,
        generator: torch.Generator | None,
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return the states to which the policy, and the flow where they are mixed, takes a point by random times of
        its segment, one in each of as many equal parts, and these times.
        """
        followed, states, times = policy.detached(self.dropout, generator=generator), [], []
        u = torch.rand(self.times, len(x), generator=generator, dtype=s.dtype, device=s.device)
        count = max(1, round(self.substeps * float((e - s).max()) / self.times))
        mixing, before = self.mixing(1.0), s
        for part in range(self.times):
            time = torch.lerp(s, e, (part + u[part]) / self.times).clamp(max=1 - 1 / self.substeps)
            if mixing > 0:
                turn = torch.lerp(before, time, mixing)
                x, before = x + bcast(turn - before, x) * self.taught.at(x, before, condition), turn
            x, before = followed.carried(x, before, time, count), time
            states.append(x)
            times.append(time)
        return states, times
