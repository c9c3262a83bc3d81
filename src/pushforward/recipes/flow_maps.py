"""Flow maps: what one, two and four jumps give, beside flow matching at the same budget, and what a step costs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.contracts import Pairs
from pushforward.distillation import MeanFlowDistillation, distil
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Gaussian, Measure, as_measure
from pushforward.networks import MLP, Field, TwoTime
from pushforward.objectives import Adaptive, AlphaFlow, FlowMatching, Held, MeanFlow, Objective, TimePairs
from pushforward.paths import Affine, CondOT
from pushforward.randomness import seeded
from pushforward.recipes.distances import mean_square, root_mean_square, sliced
from pushforward.recipes.experiment import Experiment, Figures, class_names
from pushforward.solvers import FixedStep, GridSolver, choose_solver
from pushforward.training import Trainer, fit_config

__all__ = ["AlphaLimit", "FlowMaps", "StepCost", "measured"]

ROWS = 20_000


@dataclass(frozen=True)
class FlowMaps(Experiment):
    """Train the same network with each of several `objectives` at the budget of `config`, arguments of `fit`.

    Figures on 20,000 points, of NAME in N = 1, 2, 4 evaluations (jumps of a flow map, Euler steps of a flow): `sliced
    W2@N NAME`; `floor` is that of two samples of the target, and 100 evaluations are measured of a flow. For a Gaussian
    target also `map error@N NAME`, the mean squared distance from where the exact flow goes, that of one Euler step of
    the exact velocity (`Euler error`), and `velocity error NAME`, the root mean squared error of `u(x; t, t)` over t.
    With `distilled`, the objective of that name, a flow, is distilled too (`distilled`). `changes` of the arguments of
    `fit` go with the objective of their name.
    """

    config: dict[str, Any]
    objectives: dict[str, dict[str, Any]]
    distilled: str = ""
    trainer: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def run(self, seed: int) -> Figures:
        """Train each and measure it."""
        target = as_measure(build(self.config["target"]))
        source = as_measure(build(self.config["source"]), like=target)
        x0, x1, fresh = (
            measure.sample(ROWS, generator=seeded(seed, "rows", name))
            for measure, name in ((source, "source"), (target, "target"), (target, "fresh"))
        )
        oracle = AffineOracle(Gaussian.standard(2), target, CondOT()) if isinstance(target, Gaussian) else None
        figures = {"floor": sliced(fresh, x1)}
        if oracle is not None:
            step = x0 + oracle.velocity(x0, torch.zeros(ROWS))
            figures["Euler error"] = mean_square(step, oracle.flow_map(x0, 0.0, 1.0))
        flows = {
            name: fit_config(self.config | {"objective": objective, "seed": seed} | self.changes.get(name, {}))
            for name, objective in self.objectives.items()
        }
        if self.distilled:
            flows["distilled"] = self._student(flows[self.distilled], source, target, seed)
        for name, flow in flows.items():
            figures |= measured(flow, name, x0, x1, oracle, seed)
        return figures

    def _student(self, flow: FlowTransport, source: Measure, target: Measure, seed: int) -> FlowTransport:
        sides = {"source": source, "target": target, "trainer": Trainer(**self.trainer), "seed": seed}
        return distil(flow, MeanFlowDistillation(), steps=1, **sides)

    def pieces(self) -> list[str]:
        """Return the classes used."""
        student = ["MeanFlowDistillation", "TwoTimes"] if self.distilled else []
        return [*class_names(self.config), *class_names(self.objectives), *class_names(self.changes), *student]


def measured(flow: FlowTransport, name: str, x0: Tensor, x1: Tensor, oracle: AffineOracle | None, seed: int) -> Figures:
    """Return the figures of one flow, `NAME`: of a flow map by its own solver, else by Euler steps."""
    jumps = isinstance(flow.solver, GridSolver)
    figures: Figures = {}
    for steps in (1, 2, 4) if jumps else (1, 2, 4, 100):
        solver = choose_solver(flow.solver, steps=steps) if jumps else FixedStep("euler", steps)
        with torch.no_grad():
            moved = flow.solve(x0, solver=solver, generator=seeded(seed, "jumps")).x
        figures[f"sliced W2@{steps} {name}"] = sliced(moved, x1)
        if oracle is not None and not (solver.stochastic and steps > 1):
            figures[f"map error@{steps} {name}"] = mean_square(moved, oracle.flow_map(x0, 0.0, 1.0))
    if oracle is not None and not flow.field.only_to_end:
        generator = seeded(seed, "times")
        t = torch.rand(ROWS, generator=generator)
        x = oracle.sample(ROWS, t, generator=generator)
        with torch.no_grad():
            figures[f"velocity error {name}"] = root_mean_square(flow.field.velocity(x, t), oracle.velocity(x, t))
    return figures


@dataclass(frozen=True)
class StepCost(Experiment):
    """Time steps of training, forward and backward, of each of `objectives` and of flow matching, in turn.

    Figures are ratios of medians of processor time: `NAME` to flow matching of the same network of two times, `NAME
    against one time` to that of the network that is told one time only.
    """

    objectives: dict[str, dict[str, Any]]
    network: dict[str, Any] = field(
        default_factory=lambda: {"class_path": "MLP", "init_args": {"width": 512, "depth": 4}}
    )
    event_shape: tuple[int, ...] = (64,)
    rows: int = 512
    steps: int = 10

    def run(self, seed: int) -> Figures:
        """Time each."""
        shape = tuple(self.event_shape)
        tried: dict[str, Objective] = {name: build(spec) for name, spec in self.objectives.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            spec = build(self.network)
            one, two = (Field(network, Affine(), shape, {}) for network in (spec, TwoTime(spec)))
            pairs = Pairs(torch.randn(self.rows, *shape), torch.randn(self.rows, *shape))
        bases = {"one time": (FlowMatching(), one), "two times": (FlowMatching(), two)}
        timed = bases | {name: (objective, two) for name, objective in tried.items()}
        found: dict[str, list[float]] = {name: [] for name in timed}
        for number in range(self.steps + 3):
            for name, (objective, network) in timed.items():
                generator, started = seeded(seed, "step", number), time.process_time()
                network.zero_grad()
                objective(network, pairs, network.path, generator=generator).total.backward()
                found[name].append(time.process_time() - started)
        seconds = {name: median(times[3:]) for name, times in found.items()}
        return {name: seconds[name] / seconds["two times"] for name in tried} | {
            f"{name} against one time": seconds[name] / seconds["one time"] for name in tried
        }

    def pieces(self) -> list[str]:
        """Return the classes used."""
        return class_names(self.objectives)


@dataclass(frozen=True)
class AlphaLimit(Experiment):
    """Compare the gradients of alpha-Flow with that of MeanFlow for one random network and batch, in double precision.

    Figures: `cosine` at alpha = 0.001, `gap@ALPHA`, the relative distance at 0.01 and 0.001, and `step up`, `step
    down`, the factor by which the norm changes where the curriculum snaps to 1 and to 0, or its inverse if larger.
    """

    snap: float = 0.005

    def run(self, seed: int) -> Figures:
        """Compare."""
        exact = self._gradient(0.0, seed)
        near = {alpha: self._gradient(alpha, seed) for alpha in (0.01, 0.001)}
        gaps = {f"gap@{alpha}": float((g - exact).norm() / exact.norm()) for alpha, g in near.items()}
        cosine = float(torch.cosine_similarity(near[0.001], exact, dim=0))
        up = self._gradient(1 - self.snap, seed).norm() / self._gradient(1.0, seed).norm()
        down = self._gradient(self.snap, seed).norm() / exact.norm()
        steps = {"step up": float(up.maximum(1 / up)), "step down": float(down.maximum(1 / down))}
        return {"cosine": cosine, **gaps, **steps}

    def _gradient(self, alpha: float, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = Field(TwoTime(MLP(width=64)), Affine(), (2,), {}).double()
            for parameter in network.parameters():
                parameter.data.add_(0.3 * torch.randn_like(parameter))
            pairs = Pairs(torch.randn(512, 2).double(), torch.randn(512, 2).double() + 2)
        objective = AlphaFlow(times=TimePairs(distinct=0.75), weighting=Adaptive(), curriculum=Held(alpha))
        total = objective(network, pairs, network.path, generator=seeded(seed, "times")).total
        return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(network.parameters()))])

    def pieces(self) -> list[str]:
        """Return what was compared."""
        return [AlphaFlow.__name__, MeanFlow.__name__]
