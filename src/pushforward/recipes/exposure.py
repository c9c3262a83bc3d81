"""MixFlow: the states of a few-step solver lag behind their time; training on such states makes the steps better."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, digits
from pushforward.metrics import energy_distance
from pushforward.networks import MLP
from pushforward.objectives import FlowMatching, Slowed, TimeLaw, Uniform
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Experiment, Figures
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["SlowedDigits", "slow_flow"]


@torch.no_grad()
def slow_flow(transport: FlowTransport, x0: Tensor, *, steps: int = 8, fine: int = 256) -> Tensor:
    """Return by how much the states of `steps` Euler steps lag behind their times: `t - E[m_t]` at the inner times,
    `(steps - 1,)`.

    `m_t` is the time at which the straight line from `x0`, in the units of the network, to where `fine` steps carry it
    comes nearest to the state: `<x_t - x0, x1* - x0> / |x1* - x0|^2`.
    """
    nodes = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    coarse = FixedStep("euler", steps).solve(transport.field, x0, nodes=nodes)
    way = FixedStep("euler", fine).solve(transport.field, x0).x - x0
    assert coarse.path is not None
    nearest = ((coarse.path - x0) * way).flatten(2).sum(2) / way.square().flatten(1).sum(1)
    return (nodes - nearest.double().mean(1))[1:-1]


@dataclass(frozen=True)
class SlowedDigits(Experiment):
    """Half of scikit-learn's digits in their first 16 principal components: one flow is trained for `steps` steps, and
    from it `further` more, once as before (`plain`) and with slowed times for each of `gammas` (`slowed GAMMA`).

    Figures for each NAME: `energy distance@N NAME` from the other half after N Euler steps; `slow-flow NAME`, the
    size of the mean lag over the inner times of 8 Euler steps; and of the pretrained flow `slow-flow` and its `least
    lag`, the smallest at any of the times.
    """

    gammas: tuple[float, ...] = (0.12, 0.4)
    steps: int = 1500
    further: int = 1000
    evaluations: tuple[int, ...] = (4, 8, 100)

    def run(self, seed: int) -> Figures:
        """Pretrain, train on in both ways, compare."""
        train, fresh = _components(seed)
        network = MLP(width=128, depth=3)
        base = fit("gaussian", Empirical(train), network=network, trainer=Trainer(steps=self.steps), seed=seed)
        noise = torch.randn(len(fresh), fresh.shape[1], generator=seeded(seed, "noise"))
        lag = slow_flow(base, noise)
        figures: Figures = {"slow-flow": float(lag.mean()), "least lag": float(lag.min())}
        laws: dict[str, TimeLaw] = {"plain": Uniform()}
        laws |= {f"slowed {g:g}": Slowed(gamma=g) for g in self.gammas}
        for name, law in laws.items():
            transport = fit(
                "gaussian", Empirical(train), init=base, objective=FlowMatching(law), seed=1000 + seed,
                trainer=Trainer(steps=self.further, learning_rate=3e-4, warmup=50, ema=0.99),
            )  # fmt: skip
            figures[f"slow-flow {name}"] = abs(float(slow_flow(transport, noise).mean()))
            for count in self.evaluations:
                made = transport.push(noise, steps=count, method="euler")
                figures[f"energy distance@{count} {name}"] = float(energy_distance(made, fresh))
        return figures

    def pieces(self) -> list[str]:
        """Return what was used."""
        return ["Independent", "Affine", "FlowMatching", "Slowed", "MLP"]


def _components(seed: int) -> tuple[Tensor, Tensor]:
    """Return both halves of the digits in the 16 leading principal components of the first."""
    x = digits().x.flatten(1)
    order = torch.randperm(len(x), generator=seeded(seed, "halves"))
    train, held_out = x[order[: len(x) // 2]], x[order[len(x) // 2 :]]
    centre = train.mean(0)
    leading = torch.linalg.svd(train - centre, full_matrices=False).Vh[:16].T
    return (train - centre) @ leading, (held_out - centre) @ leading
