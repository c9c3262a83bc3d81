"""Fitting the potential of a semi-discrete plan: averaged Adam on the dual, from draws of the source."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import Cost, SquaredEuclidean
from pushforward.measures import Measure
from pushforward.ot.semidiscrete.plan import SemiDiscretePlan
from pushforward.ot.semidiscrete.targets import BLOCK, Targets
from pushforward.tensors import as_samples, check_finite

__all__ = ["semidiscrete"]

HELD_OUT = 10
"""One draw is held out to measure the plan for every so many that it was fitted on."""


@torch.no_grad()
def semidiscrete(
    source: Measure, y: Tensor, b: Tensor | None = None, *, cost: Cost = SquaredEuclidean(), epsilon: float = 0.0,
    iterations: int = 2000, batch: int = 4096, rate: float = 0.01, tolerance: float = 0.05,
    generator: torch.Generator | None = None,
) -> SemiDiscretePlan:  # fmt: skip
    """Transport all that `source` draws onto the points `y: (m, *event)` of weights `b: (m,)`, uniform by default.

        maximise  E(g) = sum_j b_j g_j + E_x [ min_j c(x, y_j) - g_j ]

    (a soft minimum for `epsilon > 0`). The gradient is `b` minus the masses of the cells, estimated on a fresh `batch`
    in each of the `iterations` of Adam, whose rate begins at `rate` times the standard deviation of the costs and falls
    by a cosine; the mean of the second half of the iterates is returned. For the squared distance it starts from cells
    that would be right if the source were the targets, shifted and scaled: none is empty. Memory is that of the targets
    and one batch. A tenth as many draws again measure the plan.

    Raises `InputError` for targets, weights or draws that do not fit together; warns with `ConvergenceWarning` where
    the plan's `marginal_error` exceeds its `sampling_floor` by more than `tolerance`.

    Source: Genevay et al., *Stochastic optimization for large-scale optimal transport* (2016); Li et al., *DPM-OT: a
    new diffusion probabilistic model based on optimal transport* (2023).

    >>> from pushforward.measures import Gaussian
    >>> plan = semidiscrete(Gaussian([0.0]), torch.tensor([[-1.0], [1.0]]), iterations=100)
    >>> plan.map(torch.tensor([[-0.3], [2.0]]))
    tensor([[-1.],
            [ 1.]])
    """
    y = as_samples("y", y)
    b = _weights(b, y)
    if min(iterations, batch) < 1 or not (rate > 0 and tolerance > 0 and 0 <= epsilon < math.inf):
        raise InputError(
            "semidiscrete needs iterations and batch of at least 1, rate and tolerance above zero and a finite "
            f"epsilon, got {iterations=}, {batch=}, {rate=}, {tolerance=}, {epsilon=}"
        )
    kept = b > 0
    ascent = _Ascent(source, Targets(y[kept], b[kept], cost, epsilon), batch, generator)
    g = ascent.run(iterations, rate)
    plan = ascent.measured(g, y, b, iterations)
    return _judged(plan, tolerance)


@dataclass(frozen=True)
class _Ascent:
    source: Measure
    targets: Targets
    batch: int
    generator: torch.Generator | None

    def draw(self) -> Tensor:
        x = self.source.sample(self.batch, generator=self.generator)
        self.targets.check(x)
        return x

    def run(self, iterations: int, rate: float) -> Tensor:
        """Climb by Adam (0.9, 0.999) and return the mean of the second half of the iterates."""
        x = self.draw()
        g, size = _start(self.targets, x.flatten(1)), rate * _spread(self.targets, x.flatten(1))
        first, second, mean = (torch.zeros_like(g) for _ in range(3))
        for step in range(iterations):
            gradient = self.targets.b - self.targets.masses(self.draw(), g)
            first, second = first.lerp(gradient, 0.1), second.lerp(gradient.square(), 0.001)
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt().clamp(min=torch.finfo(g.dtype).tiny)
            cosine = (1 + math.cos(math.pi * step / iterations)) / 2
            g = g + size * cosine / (1 - 0.9 ** (step + 1)) * first / scale
            late = step - iterations // 2
            mean = mean.lerp(g, 1 / (late + 1)) if late >= 0 else mean
        return mean

    def measured(self, g: Tensor, y: Tensor, b: Tensor, iterations: int) -> SemiDiscretePlan:
        """Measure the cells, the cost and the dual value on fresh draws; centre `g`, and fill in massless targets."""
        rounds, kept = max(1, iterations // HELD_OUT), b > 0
        cells, value, below = torch.zeros_like(g), 0.0, 0.0
        for _ in range(rounds):
            for block in self.targets.scores(self.draw(), g):
                cells += block.masses()
                value += float(block.cost().sum())
                below += float(block.potential().sum())
        draws = rounds * self.batch
        value, below, above = value / draws, below / draws, float(self.targets.b @ g)
        g = g + (below - above) / 2
        return SemiDiscretePlan(
            self.source, y, b, self.targets.cost, self.targets.epsilon,
            torch.full_like(b, -torch.inf).masked_scatter(kept, g),
            torch.zeros_like(b).masked_scatter(kept, cells / draws),
            value, below + above, draws, iterations, True,
        )  # fmt: skip


def _start(targets: Targets, x: Tensor) -> Tensor:
    """Return the potential whose cells are the Voronoi cells of the targets shifted and scaled onto the draws `x`.

    With `z_j = (y_j - mean y) / s + mean x`, to minimise `|x - z_j|^2` is to minimise `|x - y_j|^2 - g_j` for
    `g_j = |y_j|^2 - s |z_j|^2`. Other costs start from zero.
    """
    if not isinstance(targets.cost, SquaredEuclidean):
        return torch.zeros_like(targets.b)
    x, y = x - targets.centre, targets.centred
    inner, mean = targets.b @ y, x.mean(0)
    spread = (targets.b @ (y - inner).square().sum(1)).sqrt()
    scale = spread / (x - mean).square().sum(1).mean().sqrt()
    if not 0 < float(scale) < math.inf:
        return torch.zeros_like(targets.b)
    return targets.squares - scale * ((y - inner) / scale + mean).square().sum(1)


def _spread(targets: Targets, x: Tensor) -> float:
    """Return the standard deviation, between some of the draws and the targets, of what the potentials cannot explain.

    That is the cost less its means over rows and columns: a shift of either side leaves it alone.
    """
    cost = targets.cost.pairwise(x[: max(2, BLOCK // len(targets.b))], targets.points)
    cost = cost - cost.mean(0) - (cost - cost.mean(0)).mean(1, keepdim=True)
    return float(cost.std(correction=0)) or 1.0


def _weights(b: Tensor | None, y: Tensor) -> Tensor:
    if b is None:
        return torch.full(y.shape[:1], 1 / len(y), dtype=y.dtype, device=y.device)
    b = torch.as_tensor(b).to(y)
    check_finite("b", b)
    if b.shape != y.shape[:1] or bool((b < 0).any()) or abs(float(b.sum()) - 1) > 1e-4:
        raise InputError(
            f"b must be {len(y)} weights, none negative, that sum to 1, got shape {tuple(b.shape)} and sum "
            f"{float(b.sum()):.6g}"
        )
    return b / b.sum()


def _judged(plan: SemiDiscretePlan, tolerance: float) -> SemiDiscretePlan:
    """Warn, and say so in the plan, where the cells are off by more than sampling explains."""
    if plan.marginal_error <= plan.sampling_floor + tolerance:
        return plan
    warnings.warn(
        f"the masses of the cells are {plan.marginal_error:.3f} in total variation from the weights after "
        f"{plan.iterations} iterations, of which sampling explains {plan.sampling_floor:.3f}: raise iterations or "
        "batch, or change rate",
        ConvergenceWarning,
        stacklevel=3,
    )
    return replace(plan, converged=False)
