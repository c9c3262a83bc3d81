"""Transport from a distribution that can be sampled onto finitely many points: its cells, by averaged Adam on the dual."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.measures import Measure
from pushforward.tensors import as_samples, check_same_event

__all__ = ["SemiDiscretePlan", "semidiscrete"]

BLOCK = 1 << 20
"""Entries of a block of costs between draws and targets: it stays in the cache."""

HELD_OUT = 10
"""One draw is held out to measure the plan for every so many that it was fitted on."""


@dataclass(frozen=True, eq=False)
class SemiDiscretePlan:
    """The plan from `source` onto the points `y: (m, *event)` of weights `b: (m,)`: their potential `g: (m,)` is all.

    Without `epsilon` a point x goes to the target that minimises `c(x, y_j) - g_j`: for the squared distance the cells
    are polyhedra, and `h_j = (g_j - |y_j|^2) / 2` the heights of Brenier's potential `max_j <x, y_j> + h_j`. With it,
    x is shared out with probabilities proportional to `b_j exp((g_j - c(x, y_j)) / epsilon)`.

    `share: (m,)`, the masses of the cells, `value`, the transport cost, and `objective`, the dual value, are means over
    `draws` points that took no part in fitting. A target of weight zero has `g_j = -inf`.
    """

    source: Measure
    y: Tensor
    b: Tensor
    cost: Cost
    epsilon: float
    g: Tensor
    share: Tensor
    value: float
    objective: float
    draws: int
    iterations: int
    converged: bool

    @property
    def marginal_error(self) -> float:
        """Total variation between the masses of the cells and `b`, on the draws held out; see `sampling_floor`."""
        return float((self.share - self.b).abs().sum()) / 2

    @property
    def sampling_floor(self) -> float:
        """The `marginal_error` that exact cells would show on average on so many draws."""
        return _floor(self.b, self.draws)

    def index(self, x: Tensor) -> Tensor:
        """Return the target of each point `x: (n, *event)`, with `epsilon` the likeliest: `(n,)`."""
        return torch.cat([scores.argmax(1) for scores, _ in self._blocks(x)])

    def map(self, x: Tensor) -> Tensor:
        """Return where each point goes, with `epsilon` on average: `(n, *event)`."""
        if self.epsilon == 0:
            return self.y[self.index(x)]
        y = self.y.flatten(1)
        parts = [torch.softmax(scores / self.epsilon, 1) @ y for scores, _ in self._blocks(x)]
        return torch.cat(parts).reshape(-1, *self.y.shape[1:])

    def potential(self, x: Tensor) -> Tensor:
        """Return `f(x) = min_j c(x, y_j) - g_j`, or its soft minimum weighted by `b`: `(n,)`."""
        return torch.cat([_soft_minimum(scores, self.epsilon) - offset for scores, offset in self._blocks(x)])

    def masses(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Estimate the masses of the cells on `n` fresh draws: `(m,)`; their floor is about `sqrt(m / (2 pi n))`."""
        if n < 1:
            raise InputError(f"masses needs at least one draw, got n={n}")
        x = self.source.sample(n, generator=generator)
        return sum((_masses(scores, self.epsilon) for scores, _ in self._blocks(x)), self.b * 0) / n

    def _blocks(self, x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        _check_draws(x, self.y)
        return _Targets(self.y, self.b, self.cost, self.epsilon).blocks(x, self.g)


@torch.no_grad()
def semidiscrete(
    source: Measure,
    y: Tensor,
    b: Tensor | None = None,
    *,
    cost: Cost = SquaredEuclidean(),
    epsilon: float = 0.0,
    iterations: int = 2000,
    batch: int = 4096,
    rate: float = 0.02,
    tolerance: float = 0.05,
    generator: torch.Generator | None = None,
) -> SemiDiscretePlan:
    """Transport everything that `source` draws onto the points `y: (m, *event)` of weights `b: (m,)`, uniform by default.

        maximise  E(g) = sum_j b_j g_j + E_x [ min_j c(x, y_j) - g_j ]

    (a soft minimum for `epsilon > 0`). The gradient is `b` minus the masses of the cells, estimated on a fresh `batch`
    in each of the `iterations` of Adam. Its rate starts at `rate` times the standard deviation of the costs and falls
    by a cosine; the mean of the second half of the iterates is returned. For the squared distance it starts from the
    cells that are right where the source is the targets' shape, shifted and scaled: none is empty. Memory is that of
    the draws and the targets. The held-out draws number a tenth of those of the fit.

    Raises `InputError` for targets, weights or draws that do not fit together; warns with `ConvergenceWarning` where
    the `marginal_error` exceeds its `sampling_floor` by more than `tolerance`.

    Source: Genevay et al., *Stochastic optimization for large-scale optimal transport* (2016); An et al., *AE-OT*
    (2020); Li et al., *DPM-OT* (2023).
    """
    y = as_samples("y", y)
    b = _weights(b, y)
    _check_options(epsilon, iterations, batch, rate)
    kept = b > 0
    targets = _Targets(y[kept], b[kept], cost, epsilon)
    x = source.sample(batch, generator=generator)
    _check_draws(x, y)
    g = targets.fit(source, targets.start(x), rate * targets.spread(x), iterations, batch, generator)
    share, value, mean, draws = targets.measure(source, g, max(1, iterations // HELD_OUT), batch, generator)
    objective = float(b[kept] @ g) + mean
    g = g + (mean - objective / 2)  # centred: the mean of f and that of g are equal
    error, floor = float((share - b[kept]).abs().sum()) / 2, _floor(b, draws)
    if error > floor + tolerance:
        warnings.warn(
            f"the masses of the cells are {error:.3f} in total variation from the weights after {iterations} "
            f"iterations, of which {floor:.3f} is sampling: raise iterations or batch, or change rate",
            ConvergenceWarning,
            stacklevel=3,
        )
    whole = torch.full_like(b, -torch.inf).masked_scatter(kept, g)
    share = torch.zeros_like(b).masked_scatter(kept, share)
    converged = error <= floor + tolerance
    return SemiDiscretePlan(
        source, y, b, cost, epsilon, whole, share, value, objective, draws, iterations, converged
    )  # fmt: skip


class _Targets:
    """The scores `g_j - c(x, y_j)` (with `epsilon`, plus `epsilon log b_j`) of draws, in blocks, and what follows."""

    def __init__(self, y: Tensor, b: Tensor, cost: Cost, epsilon: float) -> None:
        self.points, self.b, self.cost, self.epsilon = y.flatten(1), b, cost, epsilon
        self.centre = self.points.mean(0)
        self.centred = self.points - self.centre
        self.squares = self.centred.square().sum(1)

    def blocks(self, x: Tensor, g: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield blocks of scores up to a number for each row, `(k, m)`, and that number, `(k,)`."""
        height = g + self.epsilon * self.b.log() if self.epsilon > 0 else g
        for rows in x.flatten(1).split(max(1, BLOCK // len(self.b))):
            if isinstance(self.cost, SquaredEuclidean):  # all that depends on the target is one product
                rows = rows - self.centre
                yield torch.addmm(height - self.squares, rows, self.centred.T, alpha=2), -rows.square().sum(1)
            else:
                yield height - self.cost.pairwise(rows, self.points), rows.new_zeros(len(rows))

    def start(self, x: Tensor) -> Tensor:
        """Return the potential whose cells are the Voronoi cells of the targets shifted and scaled onto the draws.

        With `z_j = (y_j - mean y) / s + mean x`, minimising `|x - z_j|^2` is minimising `|x - y_j|^2 - g_j` for
        `g_j = |y_j|^2 - s |z_j|^2`. Other costs start from zero.
        """
        if not isinstance(self.cost, SquaredEuclidean):
            return torch.zeros_like(self.b)
        x = x.flatten(1) - self.centre
        inner, mean = self.b @ self.centred, x.mean(0)
        spread = (self.b @ (self.centred - inner).square().sum(1)).sqrt()
        if spread == 0:
            return torch.zeros_like(self.b)
        scale = spread / (x - mean).square().sum(1).mean().sqrt()
        return self.squares - scale * ((self.centred - inner) / scale + mean).square().sum(1)

    def spread(self, x: Tensor) -> Tensor:
        """Return the standard deviation of the costs between some draws and the targets."""
        return self.cost.pairwise(x.flatten(1)[: max(2, BLOCK // len(self.b))], self.points).std()

    def fit(
        self, source: Measure, g: Tensor, rate: Tensor, iterations: int, batch: int, generator: torch.Generator | None
    ) -> Tensor:
        """Climb the dual by Adam and return the mean of the second half of the iterates."""
        first, second, mean = (torch.zeros_like(g) for _ in range(3))
        half = iterations // 2
        for step in range(iterations):
            x = source.sample(batch, generator=generator)
            gradient = self.b - self._masses(x, g) / batch
            first = first.lerp(gradient, 0.1)
            second = second.lerp(gradient.square(), 0.001)
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt().clamp(min=torch.finfo(g.dtype).tiny)
            now = rate * 0.5 * (1 + math.cos(math.pi * step / iterations))
            g = g + now * first / (1 - 0.9 ** (step + 1)) / scale
            if step >= half:
                mean = mean + (g - mean) / (step - half + 1)
        return mean

    def measure(
        self, source: Measure, g: Tensor, rounds: int, batch: int, generator: torch.Generator | None
    ) -> tuple[Tensor, float, float, int]:
        """Return the masses of the cells, the transport cost, the mean of f, and the number of draws."""
        masses, value, mean = torch.zeros_like(self.b), 0.0, 0.0
        height = g + self.epsilon * self.b.log() if self.epsilon > 0 else g
        for _ in range(rounds):
            for scores, offset in self.blocks(source.sample(batch, generator=generator), g):
                share = torch.softmax(scores / self.epsilon, 1) if self.epsilon > 0 else _hard(scores)
                masses += share.sum(0)
                value += float(((share * (height - scores)).sum(1) - offset).sum())
                mean += float((_soft_minimum(scores, self.epsilon) - offset).sum())
        draws = rounds * batch
        return masses / draws, value / draws, mean / draws, draws

    def _masses(self, x: Tensor, g: Tensor) -> Tensor:
        return sum((_masses(scores, self.epsilon) for scores, _ in self.blocks(x, g)), torch.zeros_like(g))


def _masses(scores: Tensor, epsilon: float) -> Tensor:
    """Sum the rows' shares of every target: `(m,)`."""
    if epsilon > 0:
        return torch.softmax(scores / epsilon, 1).sum(0)
    return torch.bincount(scores.argmax(1), minlength=scores.shape[1]).to(scores.dtype)


def _hard(scores: Tensor) -> Tensor:
    return torch.zeros_like(scores).scatter_(1, scores.argmax(1, keepdim=True), 1.0)


def _soft_minimum(scores: Tensor, epsilon: float) -> Tensor:
    """Return minus the (soft) maximum of the scores of every row: `(k,)`."""
    return -epsilon * torch.logsumexp(scores / epsilon, 1) if epsilon > 0 else -scores.amax(1)


def _floor(b: Tensor, draws: int) -> float:
    return float((b * (1 - b) * (2 / (math.pi * draws))).sqrt().sum()) / 2
