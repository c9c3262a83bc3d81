"""What several rooms' tests share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pushforward.contracts import Pairs, Path
from pushforward.networks import Field
from pushforward.objectives import Objective
from pushforward.tensors import bcast


class Perturbed(nn.Module):
    """A known field with four small deviations: `(1 + th0) u + th1 + th2 sin x + th3 cos(3 t)`, at theta = 0 the field
    itself.
    """

    def __init__(self, truth: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.truth = truth
        self.theta = nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        th = self.theta
        return (1 + th[0]) * self.truth(x, t) + th[1] + th[2] * x.sin() + th[3] * bcast((3 * t).cos(), x)


def stationarity(
    objective: Objective,
    field: Field,
    theta: nn.Parameter,
    path: Path,
    draw: Callable[[torch.Generator], Pairs],
    *,
    batches: int = 40,
    seed: int = 0,
) -> Tensor:
    """Return the z-score of the mean gradient of the objective in each entry of theta over independent batches.

    Where the field is the minimiser, the scores are standard normal: anything above 3 says that the objective has
    another minimiser.
    """
    generator = torch.Generator().manual_seed(seed)
    gradients = []
    for _ in range(batches):
        loss = objective(field, draw(generator), path, generator=generator).total
        gradients.append(torch.autograd.grad(loss, theta)[0])
    g = torch.stack(gradients)
    return g.mean(0) / (g.std(0) / batches**0.5)


class PerturbedMap(nn.Module):
    """A known flow map with three small deviations: `(1 + th0) u + th1 + th2 (e - s) sin x`, at theta = 0 the map
    itself.
    """

    def __init__(self, truth: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.truth = truth
        self.theta = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def forward(self, x: Tensor, t: Tensor, condition: object = None) -> Tensor:
        return self.mean_velocity(x, t, t)

    def mean_velocity(self, x: Tensor, s: Tensor, e: Tensor, condition: object = None) -> Tensor:
        th = self.theta
        return (1 + th[0]) * self.truth(x, s, e) + th[1] + th[2] * bcast(e - s, x) * x.sin()
