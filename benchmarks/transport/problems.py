"""The problems that every solver gets, and the check of every answer, done here in float64 and nowhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pushforward.geometry import SquaredEuclidean

__all__ = ["NEVER", "Potentials", "Task", "audit", "clouds", "task"]

NEVER = 10**6
"""So many iterations that the time limit ends a solver, not its own count."""

BLOCK = 1 << 24


@lru_cache(maxsize=4)
def clouds(n: int, d: int, batch: int = 0) -> tuple[Tensor, Tensor]:
    """Return a standard normal cloud and one from a shifted mixture of four rotated, stretched normals: `(n, d)`.

    Units are such that the mean squared distance is 1. With `batch`, that many pairs of clouds: `(batch, n, d)`.
    """
    generator = torch.Generator().manual_seed(0)
    normal = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    means, axes = 2 * normal(4, d), torch.linalg.qr(normal(4, d, d)).Q
    spread = 0.2 + torch.rand(4, d, generator=generator, dtype=torch.float64)
    rows = n * max(batch, 1)
    x, component = normal(rows, d), torch.randint(4, (rows,), generator=generator)
    y = means[component] + torch.einsum("nde,ne->nd", axes[component], spread[component] * normal(rows, d))
    # the mean over all pairs, by the parallel axis theorem
    mean = x.var(0, correction=0).sum() + y.var(0, correction=0).sum() + (x.mean(0) - y.mean(0)).square().sum()
    shape = (batch, n, d) if batch else (n, d)
    return (x / mean.sqrt()).reshape(shape), (y / mean.sqrt()).reshape(shape)


@dataclass(frozen=True)
class Task:
    """An entropic problem with uniform weights: the points, epsilon, and when to stop.

    `tolerance` bounds the L1 error of the marginals, `iterations` the iterations.
    """

    x: Tensor
    y: Tensor
    epsilon: float
    tolerance: float
    iterations: int = NEVER

    @property
    def n(self) -> int:
        """Points on either side."""
        return self.x.shape[-2]

    @property
    def weights(self) -> Tensor:
        """Uniform weights: `(..., n)`."""
        return torch.full_like(self.x[..., 0], 1 / self.n)

    @property
    def offset(self) -> float:
        """What a potential of plans `exp((f + g - C) / epsilon)` has too little for those of `a b^T` times that."""
        return self.epsilon * math.log(self.n)

    def cost(self) -> Tensor:
        """Return the cost matrix `(..., n, n)`, for solvers that want one; inside their time, as it is inside ours."""
        return SquaredEuclidean().pairwise(self.x, self.y)


def task(n: int, d: int, epsilon: float, tolerance: float, iterations: int = NEVER, batch: int = 0) -> Task:
    """Return the task on the clouds of this size."""
    return Task(*clouds(n, d, batch), epsilon, tolerance, iterations)


@dataclass(frozen=True)
class Potentials:
    """What a solver found: the plan `a_i b_j exp((f_i + g_j - C_ij) / epsilon)`, and how many iterations it took."""

    f: Any
    g: Any
    iterations: int | None = None
    method: str = ""


def audit(task: Task, found: Potentials) -> dict[str, Any]:
    """Measure a plan by its potentials alone, in float64.

    `error` is the L1 distance of its marginals from the weights, both sides summed; `bound` the dual value
    `a.f + b.g - epsilon (sum P - 1)`, which no plan's objective is below. Of a batch the worst and the mean.
    """
    x, y = task.x.double(), task.y.double()
    f, g = (torch.as_tensor(potential).to(x) for potential in (found.f, found.g))
    weight, columns, rows = 1 / task.n, torch.zeros_like(g), []
    size = max(1, BLOCK // g.numel())
    for part in torch.arange(task.n, device=x.device).split(size):
        exponent = f[..., part, None] + g[..., None, :] - SquaredEuclidean().pairwise(x[..., part, :], y)
        block = (exponent / task.epsilon).exp() * weight**2
        rows.append(block.sum(-1))
        columns = columns + block.sum(-2)
    sums = torch.cat(rows, -1)
    error = (sums - weight).abs().sum(-1) + (columns - weight).abs().sum(-1)
    bound = f.mean(-1) + g.mean(-1) - task.epsilon * (sums.sum(-1) - 1)
    measured = {"error": float(error.max()), "bound": float(bound.mean())}
    return measured | {"iterations": found.iterations, "method": found.method}
