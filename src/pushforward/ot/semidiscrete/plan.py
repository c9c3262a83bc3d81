"""The plan from a distribution onto points: given by one number for each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import Cost
from pushforward.measures import Measure
from pushforward.ot.semidiscrete.targets import Targets

__all__ = ["SemiDiscretePlan"]


@dataclass(frozen=True, eq=False)
class SemiDiscretePlan:
    """The plan from `source` onto the points `y: (m, *event)` of weights `b: (m,)`, given by the potential `g: (m,)`.

    Without `epsilon` a point x goes to the target that minimises `c(x, y_j) - g_j`. For the squared distance the cells
    are polyhedra, and `h_j = (g_j - |y_j|^2) / 2` are the heights of Brenier's potential `max_j <x, y_j> + h_j`. With
    `epsilon`, x is shared out with probabilities proportional to `b_j exp((g_j - c(x, y_j)) / epsilon)`.

    `cells: (m,)`, the masses of the cells, `value`, the transport cost, and `objective`, the dual value, were measured
    on `draws` points that took no part in fitting. A target of weight zero has `g_j = -inf` and no cell.
    """

    source: Measure
    y: Tensor
    b: Tensor
    cost: Cost
    epsilon: float
    g: Tensor
    cells: Tensor
    value: float
    objective: float
    draws: int
    iterations: int
    converged: bool

    @property
    def marginal_error(self) -> float:
        """Total variation between the masses of the cells and `b`, on the draws held out; see `sampling_floor`."""
        return float((self.cells - self.b).abs().sum()) / 2

    @property
    def sampling_floor(self) -> float:
        """The `marginal_error` that exact cells would show on average, on so many draws."""
        return float((self.b * (1 - self.b) * (2 / (math.pi * self.draws))).sqrt().sum()) / 2

    def index(self, x: Tensor) -> Tensor:
        """Return the target of each point `x: (n, *event)`, with `epsilon` the likeliest: `(n,)`."""
        self._targets.check(x)
        return torch.cat([block.index() for block in self._targets.scores(x, self.g)])

    def draw(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw the target of each point `x: (n, *event)` from the plan given the point: `(n,)`, `index(x)` without
        `epsilon`.
        """
        if self.epsilon == 0:
            return self.index(x)
        self._targets.check(x)
        draws = [block.draw(generator) for block in self._targets.scores(x, self.g)]
        return torch.cat(draws)

    def map(self, x: Tensor) -> Tensor:
        """Return where each point goes, with `epsilon` on average: `(n, *event)`."""
        if self.epsilon == 0:
            return self.y[self.index(x)]
        self._targets.check(x)
        parts = [block.shares() @ self.y.flatten(1) for block in self._targets.scores(x, self.g)]
        return torch.cat(parts).reshape(x.shape)

    def potential(self, x: Tensor) -> Tensor:
        """Return `f(x) = min_j c(x, y_j) - g_j`, or its soft minimum weighted by `b`: `(n,)`."""
        self._targets.check(x)
        return torch.cat([block.potential() for block in self._targets.scores(x, self.g)])

    def masses(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Estimate the masses of the cells on `n` fresh draws: `(m,)`. Raises `InputError` for less than one."""
        if n < 1:
            raise InputError(f"masses needs at least one draw, got n={n}")
        return self._targets.masses(self.source.sample(n, generator=generator), self.g)

    @cached_property
    def _targets(self) -> Targets:
        return Targets(self.y, self.b, self.cost, self.epsilon)
