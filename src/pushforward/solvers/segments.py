"""Integration from boundary to boundary, where a field jumps in time: nothing is remembered across one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pushforward.solvers.grid import Grid
from pushforward.solvers.integrate import Solution, Stepper
from pushforward.solvers.velocity import Velocity

__all__ = ["PerSegment", "by_segment"]

Part: TypeAlias = Callable[[Velocity, Tensor, float, float, Tensor | None], Solution]
"""Solves from one time to another, for the states at some times between them: `(velocity, x, start, end, nodes)`."""


class PerSegment:
    """A stepper that starts afresh at every boundary of the velocity that it calls, all of which are nodes of the grid.

    Slopes kept from a step before would be those of another function there.
    """

    def __init__(self, stepper: Stepper, velocity: Velocity) -> None:
        self.stepper, self.velocity = stepper, velocity

    @property
    def evaluations(self) -> int:
        """Number of network evaluations so far."""
        return self.stepper.evaluations

    def init(self, x: Tensor, grid: Grid) -> tuple[int | None, Grid, Any]:
        """Return the number of the segment that is under way, none, the grid, and what the stepper remembers."""
        return None, grid, self.stepper.init(x, grid)

    def step(self, x: Tensor, s: float, e: float, state: tuple[int | None, Grid, Any]) -> tuple[Tensor, Any]:
        """Advance from `s` to `e`."""
        before, grid, memory = state
        segment = sum(time <= (s + e) / 2 for time in self.velocity.boundaries)
        if segment != before:
            self.velocity.enter(x, s, e)
            memory = self.stepper.init(x, grid)
        x, memory = self.stepper.step(x, s, e, memory)
        return x, (segment, grid, memory)


def by_segment(solve: Part, velocity: Velocity, x: Tensor, start: float, end: float, nodes: Tensor | None) -> Solution:
    """Solve from `start` to `end` in as many parts as the boundaries of the velocity make, each from where the one
    before arrived; where there are none, at once. A part that some row did not get through is the last.
    """
    low, high = sorted((start, end))
    inside = sorted((time for time in velocity.boundaries if low < time < high), reverse=end < start)
    if not inside:
        return solve(velocity, x, start, end, nodes)
    parts: list[Solution] = []
    for s, e in pairwise([start, *inside, end]):
        own = Velocity(velocity.field, velocity.condition)  # solvers drop the rows that arrive
        own.enter(x, s, e)
        part = solve(own, x, s, e, _between(nodes, s, e, last=e == end))
        parts, x = [*parts, part], part.x
        if part.reached is not None and bool((part.reached != e).any()):
            break
    return _joined(parts, torch.tensor([start, end], dtype=torch.float64) if nodes is None else nodes)


def _between(nodes: Tensor | None, s: float, e: float, *, last: bool) -> Tensor | None:
    """Return those of the nodes that lie on the way from s to e, without e unless it is the last of all."""
    if nodes is None:
        return None
    forward = (nodes - s) * (1 if e > s else -1)
    length = abs(e - s)
    found = nodes[(forward >= 0) & ((forward <= length) if last else (forward < length))]
    return found if len(found) else None


def _joined(parts: list[Solution], nodes: Tensor) -> Solution:
    last = parts[-1]
    paths = [part.path for part in parts if part.path is not None]
    missing = len(nodes) - sum(len(path) for path in paths)  # NaN, as where a row never came
    return Solution(
        last.x,
        sum(part.evaluations for part in parts),
        nodes,
        torch.cat([*paths, last.x.new_full((missing, *last.x.shape), torch.nan)]) if paths else None,
        _total([part.row_evaluations for part in parts]),
        _total([part.forced for part in parts]),
        last.reached,
        all(part.converged for part in parts),
    )


def _total(counts: list[Tensor | None]) -> Tensor | None:
    known = [count for count in counts if count is not None]
    return torch.stack(known).sum(0) if known else None
