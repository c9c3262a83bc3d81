"""The time grid of a given number of steps that costs least, by Bellman's dynamic programme over a fine grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, take
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.solvers.grid import Explicit, Grid, GridRule, Uniform
from pushforward.solvers.integrate import integrate
from pushforward.solvers.runge_kutta import RungeKutta
from pushforward.solvers.velocity import Velocity

__all__ = ["StepCosts", "bellman", "euler_costs"]

ENTRIES = 1 << 24
"""Numbers of a fine path that are held at once."""


@dataclass(frozen=True, eq=False)
class StepCosts:
    """What a single step between any two nodes of a fine grid costs: from which the best grid of every number of steps
    follows.

    `costs: (K + 1, K + 1)` in float64, of the step from node i to node j > i of `nodes: (K + 1,)`. The cost of a grid
    is the sum over its steps, each from a state of the fine path: a stand-in for the error at the end, which leaves out
    how errors grow on the way. Any additive cost will do.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "nguyen2023bellman",
            "Bellman Optimal Stepsize Straightening of Flow-Matching Models",
            "Nguyen, Bao and Nguyen, Binh and Nguyen, Viet Anh",
            2023,
            arxiv="2312.16414",
        ),
    )
    nodes: Tensor
    costs: Tensor

    @classmethod
    @torch.no_grad()
    def of(
        cls,
        field: VelocityField,
        x: Tensor,
        condition: Condition | None = None,
        *,
        fine: int = 100,
        base: GridRule | None = None,
    ) -> Self:
        """Measure the costs of Euler steps along the fine Euler paths of a field from `x: (B, *event)` at t = 0: `fine`
        evaluations for each row and no more, on the nodes of `base`, uniform ones if none are given.
        """
        grid = (base or Uniform())(fine)
        rows = max(1, ENTRIES // (len(grid.nodes) * x[0].numel()))
        total = torch.zeros(len(grid.nodes), len(grid.nodes), dtype=torch.float64)
        for part in torch.arange(len(x), device=x.device).split(rows):
            stepper = RungeKutta(Velocity(field, take(condition, part)), "euler")
            path = integrate(stepper, x[part], grid, return_path=True).path
            assert path is not None
            total += euler_costs(path, grid.nodes) * (len(part) / len(x))
        return cls(grid.nodes, total)

    def grid(self, steps: int) -> Grid:
        """Return the grid of `steps` steps that costs least, with its `cost` in `meta`."""
        chosen, cost = bellman(self.costs, steps)
        return Grid(self.nodes[chosen], meta={"rule": "bellman", "cost": cost})

    def rule(self, steps: int) -> Explicit:
        """Return that grid as a rule for solvers: plain times, which a transport saves with itself."""
        return Explicit(tuple(self.grid(steps).nodes.tolist()))


def euler_costs(path: Tensor, nodes: Tensor) -> Tensor:
    """Return the costs `C_ij = E |X_i + (t_j - t_i) V_i - X_j|^2` of one Euler step from node i to node j > i, with the
    slopes `V_i` of an Euler path `X: (K + 1, B, *event)` at `nodes: (K + 1,)`: `(K + 1, K + 1)` in float64 on the CPU,
    infinite elsewhere.
    """
    states = path.flatten(2)
    times = nodes.to(states)[:, None, None]
    costs = torch.full((len(nodes), len(nodes)), torch.inf, dtype=torch.float64)
    for i in range(len(nodes) - 1):
        ahead, time = states[i + 1 :] - states[i], times[i + 1 :] - times[i]
        reached = (ahead[0] / time[0]) * time
        costs[i, i + 1 :] = (reached - ahead).square().sum(2).mean(1).double().cpu()
    return costs


def bellman(costs: Tensor, steps: int) -> tuple[list[int], float]:
    """Return the node numbers `0 = i_0 < ... < i_N = K` of `steps` steps with the least sum of `costs[i, j]: (K + 1,
    K + 1)`, and that sum.

    `F_1(i) = C_iK`, `F_n(i) = min_{j > i} C_ij + F_{n-1}(j)`. Raises `InputError` for more steps than the costs know.

    >>> bellman(torch.tensor([[torch.inf, 1.0, 5.0], [torch.inf, torch.inf, 1.0], [torch.inf] * 3]), 2)
    ([0, 1, 2], 2.0)
    """
    last = len(costs) - 1
    if not 1 <= steps <= last:
        raise InputError(f"steps must lie between 1 and {last}, those of the fine grid, got {steps}")
    upper = torch.ones_like(costs, dtype=torch.bool).triu(1)
    costs = torch.where(upper, costs, torch.inf)
    rest, turns = costs[:, last], []
    for _ in range(steps - 1):
        rest, onward = (costs + rest).min(1)
        turns.append(onward)
    chosen = [0]
    for onward in reversed(turns):
        chosen.append(int(onward[chosen[-1]]))
    return [*chosen, last], float(rest[0])
