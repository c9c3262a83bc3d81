"""The one loop over a grid: every fixed-step method is a stepper that it drives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from pushforward.solvers.grid import Grid
from pushforward.solvers.velocity import Velocity, VelocityFn, counted

__all__ = ["CountedStepper", "Hook", "Solution", "Stepper", "integrate"]

Hook: TypeAlias = Callable[[Tensor, float, int], Tensor]
"""Called with the new state, its time and its node number after each step; returns the state to go on with."""


@dataclass(frozen=True)
class Solution:
    """Where the points arrived, and what it cost.

    `x: (B, *event)` is the state at the end and `evaluations` the number of times the network was called. `path: (T, B,
    *event)` holds the states at `nodes: (T,)` when it was asked for; otherwise `nodes` are the times the solver was
    given.

    Solvers with per-row control also say how many of the calls each row took part in (`row_evaluations`), how many of
    its steps were accepted at the step floor with more than the tolerated error (`forced`) and the time it `reached`,
    each `(B,)`. `converged` is false when any step was forced or any row stopped short of the end.
    """

    x: Tensor
    evaluations: int
    nodes: Tensor
    path: Tensor | None = None
    row_evaluations: Tensor | None = None
    forced: Tensor | None = None
    reached: Tensor | None = None
    converged: bool = True


class Stepper(Protocol):
    """Advances a state from one node to the next; what it remembers between steps travels in `state`."""

    @property
    def evaluations(self) -> int:
        """Number of network evaluations so far."""
        ...

    def init(self, x: Tensor, grid: Grid) -> Any:
        """Return the state before the first step. Raises `InputError` for a grid that the method cannot follow."""
        ...

    def step(self, x: Tensor, s: float, e: float, state: Any) -> tuple[Tensor, Any]:
        """Advance `x: (B, *event)` from time `s` to time `e`."""
        ...


class CountedStepper:
    """What steppers that follow one velocity share: it counts its calls, and unless they say so they remember nothing
    between steps.
    """

    def __init__(self, velocity: Velocity | VelocityFn) -> None:
        self.velocity = counted(velocity)

    @property
    def evaluations(self) -> int:
        """Number of network evaluations so far."""
        return self.velocity.calls

    def init(self, x: Tensor, grid: Grid) -> Any:
        """Return what is remembered before the first step: nothing."""
        return None


def integrate(
    stepper: Stepper, x: Tensor, grid: Grid, *, hooks: Sequence[Hook] = (), return_path: bool = False
) -> Solution:
    """Carry `x: (B, *event)` along `grid`, one step of `stepper` per interval.

    Times come from the grid's nodes and are never accumulated. Each of `hooks` is called after every step and may
    change the state. Gradients flow through when grad mode is on. `return_path` keeps the state at every node.

    >>> from pushforward.solvers import RungeKutta, Uniform
    >>> stepper = RungeKutta(lambda x, t: x, "rk4")
    >>> float(integrate(stepper, torch.ones(1, 1, dtype=torch.float64), Uniform()(10)).x)  # e = 2.71828...
    2.718279744...
    """
    start_count = stepper.evaluations
    state = stepper.init(x, grid)
    times: list[float] = grid.nodes.tolist()
    path = [x]
    for number in range(1, len(times)):
        x, state = stepper.step(x, times[number - 1], times[number], state)
        for hook in hooks:
            x = hook(x, times[number], number)
        if return_path:
            path.append(x)
    return Solution(x, stepper.evaluations - start_count, grid.nodes, torch.stack(path) if return_path else None)
