"""How close does a trained flow come to its target, at how many evaluations?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.markdown import mean_and_deviation, table
from benchmarks.problems import measures
from benchmarks.settings import Benchmark, Rows, Settings
from pushforward.conditions import Condition
from pushforward.contracts import Coupling
from pushforward.couplings import Independent, MinibatchOT
from pushforward.maps import FlowTransport
from pushforward.metrics import path_energy, wasserstein2
from pushforward.networks import MLP, Field
from pushforward.paths import Affine
from pushforward.solvers import FixedStep
from pushforward.training import Trainer, fit

__all__ = ["BENCHMARK"]

EVALUATIONS = (1, 2, 4, 8, 100)
DRAWS = 4
FLOORS = ("again", "independent", "source")


@dataclass(frozen=True)
class Budget:
    """What every contender may spend."""

    steps: int
    batch: int = 256


Train: TypeAlias = Callable[[int, Budget], FlowTransport]
"""`(seed, budget) -> transport`"""


def ours(coupling: Coupling, pool: int | None = None, passes: int | None = None) -> Train:
    """`fit` with its defaults, but for the coupling."""

    def train(seed: int, budget: Budget) -> FlowTransport:
        trainer = Trainer(steps=budget.steps, batch_size=budget.batch, pool=pool, passes=passes, device="cpu")
        return fit(
            *measures(2),
            network=MLP(width=256, depth=3),
            coupling=coupling,
            trainer=trainer,
            seed=seed,
            show_progress=False,
        )

    return train


def torchcfm(exact: bool) -> Train:
    """The loop of TorchCFM's examples: their network and flow matcher, Adam at a constant rate, the last iterate."""

    def train(seed: int, budget: Budget) -> FlowTransport:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - TorchCFM draws its pairs from NumPy's global stream
        network, sample = _SideBySide(peers.torchcfm_mlp()), peers.matcher(exact)
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        source = measures(2)[0]
        for _ in range(budget.steps):
            optimizer.zero_grad()
            t, x, v = sample(source.sample(budget.batch), moons_of_torchcfm(budget.batch))
            (network(x, t) - v).square().mean().backward()
            optimizer.step()
        return FlowTransport(Field(network, Affine(), (2,), {})).eval()

    return train


def moons_of_torchcfm(n: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Draw `n` points of the moons as TorchCFM does: half of them on each arc, at evenly spaced angles.

    Every point alone has the law of the measure `moons-torchdyn`, but together they are spread evenly.
    """
    outer, inner = torch.linspace(0, math.pi, n // 2), torch.linspace(0, math.pi, n - n // 2)
    arcs = [torch.stack([outer.cos(), outer.sin()], 1), torch.stack([1 - inner.cos(), 0.5 - inner.sin()], 1)]
    return 3 * (torch.cat(arcs) + 0.2 * torch.rand(n, 1, generator=generator)) - 1


class _SideBySide(nn.Module):
    """TorchCFM's networks take x and t in one tensor."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.network(torch.cat([x, t[:, None]], 1))


def contenders() -> dict[str, Train]:
    """Every way of training, the peer's beside ours."""
    found = {
        "pushforward, independent": ours(Independent()),
        "pushforward, OT": ours(MinibatchOT()),
        "pushforward, OT of each batch": ours(MinibatchOT(pool_rows=0)),
        "pushforward, OT of 8 batches, pairs used once": ours(MinibatchOT(), pool=8, passes=1),
    }
    if peers.installed("torchcfm"):
        found |= {"torchcfm, I-CFM": torchcfm(exact=False), "torchcfm, OT-CFM": torchcfm(exact=True)}
    return found


@dataclass(frozen=True)
class Draw:
    """What models are judged on: sources to push, the target as TorchCFM draws it, twice, and independent points of
    it.
    """

    source: Tensor
    target: Tensor
    again: Tensor
    independent: Tensor


@dataclass(frozen=True)
class Evaluation:
    """Fixed draws, on which every model is judged."""

    draws: list[Draw]

    @classmethod
    def of(cls, points: int) -> Evaluation:
        """Draw them."""
        generator = torch.Generator().manual_seed(12345)
        source, target = measures(2)

        def draw() -> Draw:
            even, again = (moons_of_torchcfm(points, generator=generator) for _ in range(2))
            independent = target.sample(points, generator=generator)
            return Draw(source.sample(points, generator=generator), even, again, independent)

        return cls([draw() for _ in range(DRAWS)])

    def floors(self) -> dict[str, float]:
        """Return W2 to the target of itself drawn again and of independent points of it; squared, of the source."""
        again, independent, source = (self._mean(lambda draw, name=name: getattr(draw, name)) for name in FLOORS)
        return {"floor": again, "perfect": independent, "squared_distance": source**2}

    @torch.no_grad()
    def judge(self, transport: FlowTransport) -> dict[str, object]:
        """Return W2 after Euler with each number of evaluations, and the energy of the finest paths."""
        distances = {
            str(count): self._mean(lambda draw, count=count: transport.push(draw.source, steps=count, method="euler"))
            for count in EVALUATIONS
        }
        nodes = torch.linspace(0, 1, 101)
        solution = transport.trajectory(self.draws[0].source, times=nodes, solver=FixedStep("euler", 100))
        assert solution.path is not None
        return {"w2": distances, "energy": float(path_energy(solution.path, nodes))}

    def _mean(self, points: Callable[[Draw], Tensor]) -> float:
        return sum(float(wasserstein2(points(draw), draw.target)) for draw in self.draws) / len(self.draws)


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Train and judge every contender from every seed, one seed after the other."""
    budget = Budget(5, 16) if settings.smoke else Budget(settings.steps)
    evaluation = Evaluation.of(40 if settings.smoke else 2000)
    rows: Rows = [{"name": "data"} | evaluation.floors()]
    for seed in settings.seeds:
        for name, train in contenders().items():
            start = time.process_time()
            transport = train(seed, budget)
            spent = time.process_time() - start
            row = {"name": name, "seed": seed, "steps": budget.steps, "training_cpu_seconds": spent}
            rows.append(row | evaluation.judge(transport))
            save(rows)


def markdown(rows: Rows) -> str:
    """Return the table over seeds, with the floor below."""
    data, *models = rows
    names = list(dict.fromkeys(row["name"] for row in models))
    header = ["W2 after Euler steps", *map(str, EVALUATIONS), "path energy", "training, CPU"]
    lines = [_line(name, [row for row in models if row["name"] == name], models) for name in names]
    return f"{table(header, lines)}\n{_floors(data)}\n"


def _floors(data: dict[str, Any]) -> str:
    return (
        f"Target against target, both spread evenly: W2 = {data['floor']:.3f}. Independent points of the target,\n"
        f"which is what the exact transport makes of random source points: W2 = {data['perfect']:.3f}.\n"
        f"Squared W2 from source to target, the least energy that paths can have: {data['squared_distance']:.2f}."
    )


def _line(name: str, rows: Rows, models: Rows) -> list[str]:
    cheapest = min(row["training_cpu_seconds"] for row in models)
    distances = [mean_and_deviation([row["w2"][str(count)] for row in rows]) for count in EVALUATIONS]
    seconds = sum(row["training_cpu_seconds"] for row in rows) / len(rows)
    return [name, *distances, mean_and_deviation([row["energy"] for row in rows]), f"{seconds / cheapest:.1f}x"]


BENCHMARK = Benchmark(
    "quality", "How close does a trained flow come to its target, at how many evaluations?", run, markdown
)
