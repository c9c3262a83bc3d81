"""Pairs of states along the trajectories of a trained flow: where a few-step student has to get in one step."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Coupling, Pairs, Sides, TrainedField
from pushforward.errors import InputError
from pushforward.solvers import FixedStep, GridRule, Solver, StepCosts, Uniform

__all__ = ["TrajectoryPairs"]


@dataclass(frozen=True)
class TrajectoryPairs(Coupling):
    """Pair the states of a trained flow at neighbouring nodes of a grid: `x0` at time s with `x1` at time e, where the
    flow carries it.

    The flow is the `teacher` of `fit`, or the one that it goes on from (`init`), and stays as it is; `solver` follows
    it from fresh source points through `steps` steps of `grid`. `pool` trajectories are made once, before training, and
    batches are drawn from their segments; with `None` every row is a segment, drawn at random, of a trajectory of its
    own. Targets are not used, but for the conditions that come with them. For `SegmentMatching`.

    Raises `InputError` for a stochastic solver, and for an empty pool.
    """

    rowwise: ClassVar[bool] = True
    references = StepCosts.references
    grid: GridRule = field(default_factory=Uniform)
    steps: int | None = None
    solver: Solver = field(default_factory=lambda: FixedStep("euler", 100))
    pool: int | None = 5000
    _teacher: TrainedField | None = field(default=None, init=False, repr=False, compare=False)
    _pairs: Pairs | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.solver.stochastic:
            raise InputError("TrajectoryPairs needs a deterministic solver: noise on the way would unmatch the pairs")
        if self.pool is not None and self.pool < 1:
            raise InputError(f"TrajectoryPairs needs a pool of at least one trajectory, or none, got {self.pool}")
        self.grid(self.steps)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with its teacher, and its pool. Raises `InputError` where there is no teacher."""
        if sides.teacher is None:
            raise InputError("TrajectoryPairs follows a flow that is trained already: give init, or teacher")
        ready = copy(self)
        object.__setattr__(ready, "_teacher", sides.teacher)
        if self.pool is not None:
            x0 = sides.source(self.pool, generator=generator)
            _, condition = sides.target(self.pool, generator=generator)
            object.__setattr__(ready, "_pairs", Pairs.joined(ready._segments(x0, condition)))
        return ready

    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Return as many segments as `x1` has rows: drawn from the pool, or from trajectories of `x0` and `condition`
        where there is none. Raises `InputError` before `prepared`.
        """
        device = "cpu" if generator is None else generator.device
        if self._pairs is not None:
            rows = torch.randint(len(self._pairs), (len(x1),), generator=generator, device=device)
            return self._pairs[rows.to(self._pairs.x0.device)].to(x1.device)
        segments = self._segments(x0, condition)
        which = torch.randint(len(segments), (len(x0),), generator=generator, device=device).to(x0.device)
        return Pairs.joined(segments)[which * len(x0) + torch.arange(len(x0), device=x0.device)]

    @torch.no_grad()
    def _segments(self, x0: Tensor, condition: Condition | None) -> list[Pairs]:
        """Return the pairs of each segment of the trajectories from `x0`."""
        teacher = self._teacher
        if teacher is None:
            raise InputError("TrajectoryPairs has no flow yet: it is told by `prepared`")
        nodes = self.grid(self.steps).nodes
        start = teacher.path.source_end.encode(x0, condition)
        path = self.solver.solve(teacher, start, condition=condition, nodes=nodes).path
        assert path is not None
        times = nodes.to(start)[:, None].expand(-1, len(x0))
        return [
            Pairs(path[k], path[k + 1], condition, s=times[k], e=times[k + 1]) for k in range(len(nodes) - 1)
        ]  # fmt: skip
