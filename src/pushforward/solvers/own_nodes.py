"""Solvers that stop at nodes of their own only, whatever states between are asked for."""

from __future__ import annotations

import bisect
from dataclasses import replace

import torch
from torch import Tensor

from pushforward.solvers.integrate import Solution
from pushforward.solvers.solver import GridSolver
from pushforward.solvers.velocity import Velocity

__all__ = ["OwnNodes"]


class OwnNodes(GridSolver):
    """A solver that is right at the nodes of its grid: a path at other times is read off by steps of its own from the
    node before, which change nothing and are not counted.
    """

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        if nodes is None:
            return super()._solve(velocity, x, start, end, None, generator)
        grid = self.layout(start, end)
        solution = super()._solve(velocity, x, start, end, grid.nodes, generator)
        assert solution.path is not None
        beside, times, path = self.stepper(velocity, generator), grid.nodes.tolist(), []
        memory = beside.init(x, grid)
        for time in nodes.tolist():
            number = bisect.bisect(times, time) - 1
            state = solution.path[number]
            path.append(state if time == times[number] else beside.step(state, times[number], time, memory)[0])
        return replace(solution, nodes=nodes, path=torch.stack(path))
