"""Weighted points that share space among themselves: scores, masses and costs of their (soft) cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.tensors import check_same_event

__all__ = ["Scores", "Targets"]

BLOCK = 1 << 20
"""Entries of a block of costs between draws and targets: it stays in the cache."""


@dataclass(frozen=True)
class Scores:
    """The scores `height_j - c(x, y_j)` of a block of points, `(k, m)`, less a number `offset: (k,)` for each of them.

    A point goes to the target of the highest score; with `epsilon` it is shared out by a softmax.
    """

    scores: Tensor
    offset: Tensor
    height: Tensor
    epsilon: float

    def index(self) -> Tensor:
        """Return the target of the highest score: `(k,)`."""
        return self.scores.argmax(1)

    def shares(self) -> Tensor:
        """Return the share of every target in each point, rows summing to one: `(k, m)`."""
        if self.epsilon > 0:
            return torch.softmax(self.scores / self.epsilon, 1)
        return torch.zeros_like(self.scores).scatter_(1, self.index()[:, None], 1.0)

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Draw a target for each point by its shares: `(k,)`."""
        return torch.multinomial(self.shares(), 1, generator=generator)[:, 0]

    def masses(self) -> Tensor:
        """Return the shares summed over the points: `(m,)`."""
        if self.epsilon > 0:
            return self.shares().sum(0)
        return torch.bincount(self.index(), minlength=len(self.height)).to(self.height.dtype)

    def potential(self) -> Tensor:
        """Return `min_j c(x, y_j) - g_j`, or the soft minimum: `(k,)`."""
        if self.epsilon > 0:
            return -self.epsilon * torch.logsumexp(self.scores / self.epsilon, 1) - self.offset
        return -self.scores.amax(1) - self.offset

    def cost(self) -> Tensor:
        """Return what it costs to move each point, on average over its shares: `(k,)`."""
        shares = self.shares()
        return torch.where(shares > 0, shares * (self.height - self.scores), 0).sum(1) - self.offset


class Targets:
    """Points `y: (m, *event)` with weights `b: (m,)`, a cost and an `epsilon`."""

    def __init__(self, y: Tensor, b: Tensor, cost: Cost, epsilon: float) -> None:
        self.event, self.points = y.shape[1:], y.flatten(1)
        self.b, self.cost, self.epsilon = b, cost, epsilon
        self.centre = self.points.mean(0)
        self.centred = self.points - self.centre
        self.squares = self.centred.square().sum(1)

    def scores(self, x: Tensor, g: Tensor) -> Iterator[Scores]:
        """Walk through the scores of `x: (n, *event)` under `g: (m,)`, in blocks that bound the memory."""
        height = g + self.epsilon * self.b.log() if self.epsilon > 0 else g
        for part in x.flatten(1).split(max(1, BLOCK // len(self.b))):
            if isinstance(self.cost, SquaredEuclidean):  # all that depends on the target is one product
                part = part - self.centre
                scores = torch.addmm(height - self.squares, part, self.centred.T, alpha=2)
                offset = -part.square().sum(1)
            else:
                scores, offset = height - self.cost.pairwise(part, self.points), part.new_zeros(len(part))
            yield Scores(scores, offset, height, self.epsilon)

    def masses(self, x: Tensor, g: Tensor) -> Tensor:
        """Return the share of all of `x` that each target gets: `(m,)`, summing to one."""
        return torch.stack([block.masses() for block in self.scores(x, g)]).sum(0) / len(x)

    def check(self, x: Tensor) -> None:
        """Raise `InputError` unless `x` can be compared with the targets."""
        check_same_event("x", x.shape[1:], "y", self.event)
        if x.dtype != self.points.dtype or x.device != self.points.device:
            raise InputError(
                f"the source's points are {x.dtype} on {x.device} but y is {self.points.dtype} on "
                f"{self.points.device}: both must agree"
            )
