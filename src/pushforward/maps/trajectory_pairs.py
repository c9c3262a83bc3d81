"""Pairs of states along the trajectories of a trained flow: where a few-step student has to get in one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import ClassVar, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import Pairs
from pushforward.errors import InputError, nearest
from pushforward.maps.taught import PooledCoupling
from pushforward.solvers import FixedStep, GridRule, Solver, StepCosts, Uniform

__all__ = ["TrajectoryPairs"]

Reach: TypeAlias = Literal["next", "any"]


@dataclass(frozen=True)
class TrajectoryPairs(PooledCoupling):
    """Pair the states of a trained flow at two nodes of a grid: `x0` at time s with `x1` at time e, where the flow
    carries it. A node is paired with the `next` one, or with `any` later one.

    The flow is the `teacher` of `fit`, or the one that it goes on from (`init`), and stays as it is; `solver` follows
    it from fresh source points through `steps` steps of `grid`. `pool` trajectories are made once, before training, and
    batches are drawn from their segments; with `None` every row is a segment, drawn at random, of a trajectory of its
    own. Targets are not used, but for the conditions that come with them. For `SegmentMatching`, and with any later
    node for `JumpMatching`: a pool then holds `steps (steps + 1) / 2` pairs of each trajectory, too many of large
    images.

    Raises `InputError` for a stochastic solver, for an empty pool, and for another reach.
    """

    rowwise: ClassVar[bool] = True
    references = StepCosts.references
    grid: GridRule = field(default_factory=Uniform)
    steps: int | None = None
    solver: Solver = field(default_factory=lambda: FixedStep("euler", 100))
    pool: int | None = 5000
    _one = "trajectory"
    reach: Reach = "next"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.grid(self.steps)
        if self.reach not in get_args(Reach):
            raise InputError(f"reach cannot be {self.reach!r}{nearest(self.reach, get_args(Reach))}")

    def _fresh(self, x0: Tensor, condition: Condition | None, generator: torch.Generator | None) -> Pairs:
        """Return one segment, drawn at random, of the trajectory from each point."""
        path, nodes = self._followed(x0, condition)
        segments = torch.tensor(self._segments(len(nodes)), device=x0.device)
        device = "cpu" if generator is None else generator.device
        which = torch.randint(len(segments), (len(x0),), generator=generator, device=device).to(x0.device)
        first, last = segments[which].unbind(1)
        row = torch.arange(len(x0), device=x0.device)
        return Pairs(path[first, row], path[last, row], condition, s=nodes[first], e=nodes[last])

    def _made(self, x0: Tensor, condition: Condition | None) -> Pairs:
        """Return the pairs of the first segment of the trajectories from `x0`, then those of the second, and so on."""
        path, nodes = self._followed(x0, condition)
        times = nodes[:, None].expand(-1, len(x0))
        segments = self._segments(len(nodes))
        return Pairs.joined([Pairs(path[k], path[j], condition, s=times[k], e=times[j]) for k, j in segments])

    @torch.no_grad()
    def _followed(self, x0: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """Return the trajectories from `x0`: `(nodes, B, *event)`, and the times of the nodes."""
        teacher = self.teacher
        nodes = self.grid(self.steps).nodes
        start = teacher.path.source_end.encode(x0, condition)
        path = self.solver.solve(teacher, start, condition=condition, nodes=nodes).path
        assert path is not None
        return path, nodes.to(start)

    def _segments(self, nodes: int) -> list[tuple[int, int]]:
        """Return which nodes are paired."""
        return list(pairwise(range(nodes)) if self.reach == "next" else combinations(range(nodes), 2))
