"""The data and the network that every timing shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.measures import Empirical, Gaussian, GaussianMixture, Measure, as_measure
from pushforward.networks import MLP

__all__ = ["BareStep", "Tables", "measures", "network", "optimiser", "tables"]


def measures(dimension: int) -> tuple[Measure, Measure]:
    """8 gaussians to moons in the plane; standard normal to eight clusters in any other dimension."""
    if dimension == 2:
        return as_measure("8gaussians-torchcfm"), as_measure("moons-torchdyn")
    means = 5 * F.normalize(torch.randn(8, dimension, generator=torch.Generator().manual_seed(0)), dim=1)
    covariances = (0.25 * torch.eye(dimension)).expand(8, dimension, dimension)
    return Gaussian.standard(dimension), GaussianMixture(means, covariances)


@dataclass(frozen=True)
class Tables:
    """Two sets of samples, from which every contender draws its batches."""

    source: Empirical
    target: Empirical

    def draw(self, rows: int) -> tuple[Tensor, Tensor]:
        """Draw a batch of either side as a short script would."""
        return tuple(side.x[torch.randint(len(side), (rows,))] for side in (self.source, self.target))  # type: ignore[return-value]


@lru_cache(maxsize=2)
def tables(dimension: int, rows: int = 20_000) -> Tables:
    """Return the same samples for everyone."""
    generator = torch.Generator().manual_seed(1)
    source, target = measures(dimension)
    return Tables(
        Empirical(source.sample(rows, generator=generator)), Empirical(target.sample(rows, generator=generator))
    )


def network(dimension: int) -> nn.Module:
    """Three hidden layers of 256, called as `network(x, t)`."""
    torch.manual_seed(0)
    return MLP(width=256, depth=3).build((dimension,), {})


def optimiser(module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of every contender, in torch's fastest form: what is compared is the rest."""
    return torch.optim.AdamW(module.parameters(), lr=1e-3, weight_decay=0.0, fused=True)


class BareStep:
    """The floor: forward, mean squared error, backward and optimiser step on tensors that are there already."""

    def __init__(self, dimension: int, rows: int, optimizer: type[torch.optim.Optimizer] | None = None) -> None:
        """Use the shared optimiser, or torch's default form of another."""
        self.network = network(dimension)
        parameters = self.network.parameters()
        self.optimizer = optimiser(self.network) if optimizer is None else optimizer(parameters, lr=1e-3)  # type: ignore[call-arg]
        self.x, self.t, self.v = torch.randn(rows, dimension), torch.rand(rows), torch.randn(rows, dimension)

    def __call__(self) -> None:
        """Take one step."""
        self.descend(self.x, self.t, self.v)

    def descend(self, x: Tensor, t: Tensor, v: Tensor) -> None:
        """Take one step on a batch."""
        loss = F.mse_loss(self.network(x, t), v)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
