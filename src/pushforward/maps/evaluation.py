"""How good a transport is: every metric beside its floor, quality against evaluations, and what its paths cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.maps.flow import FlowTransport
from pushforward.maps.transport import Transport
from pushforward.measures import Measure, Samples
from pushforward.metrics import (
    MMD2,
    ClassifierTwoSample,
    EnergyDistance,
    Metric,
    Score,
    SlicedWasserstein2,
    Wasserstein2,
    format_scores,
    measure,
    path_energy,
    score,
    straightness,
)
from pushforward.randomness import seeded
from pushforward.solvers import FixedStep, GridSolver, Piecewise, Solution, Uniform, choose_solver

__all__ = ["Evaluation", "default_metrics", "evaluate"]


def default_metrics() -> tuple[Metric, ...]:
    """Exact W2, sliced W2, energy distance, MMD and the classifier two-sample test."""
    return (Wasserstein2(), SlicedWasserstein2(), EnergyDistance(), MMD2(), ClassifierTwoSample())


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    `scores` are measured with the transport's own solver, `curves[metric]` with a fixed-step method, as `(evaluations,
    value)`. `paths` holds the energy, the straightness and the transport cost of the flow's paths; `likelihood` the
    mean negative log-likelihood of the target in nats, the floor being that of the target's own density where it is
    known.
    """

    rows: int
    evaluations: int
    scores: list[Score]
    curves: dict[str, list[tuple[int, float]]]
    paths: dict[str, float]
    likelihood: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        """Rebuild from `to_dict`."""
        scores = [Score(**item) for item in values["scores"]]
        curves = {name: [(int(n), float(v)) for n, v in points] for name, points in values["curves"].items()}
        return cls(values["rows"], values["evaluations"], scores, curves, values["paths"], values["likelihood"])

    def format(self) -> str:
        """Return a readable table."""
        calls = f", {self.evaluations} evaluations of the network" if self.evaluations else ""
        lines = [f"{self.rows} rows{calls}", "", format_scores(self.scores), ""]
        for name, points in self.curves.items():
            lines.append(f"{name} against evaluations: " + "  ".join(f"{n}: {value:.3g}" for n, value in points))
        lines += [f"{name}: {value:.4g}" for name, value in (self.paths | self.likelihood).items()]
        return "\n".join(lines)


def evaluate(
    transport: Transport,
    source: Measure,
    target: Measure,
    *,
    metrics: Sequence[Metric] | None = None,
    rows: int = 2000,
    steps: Sequence[int] = (1, 2, 4, 8, 100),
    method: str | None = "euler",
    likelihood_rows: int = 200,
    seed: int = 0,
) -> Evaluation:
    """Push `rows` source points and compare them with the target's.

    `metrics` are measured with the transport's own solver and, for the curves of a flow, at each number of `steps` of
    `method`, or of its own solver for `None` (numbers that it cannot take are left out); by default all of
    `default_metrics`, and W2 and the energy distance for the curves. Conditions are those of the target rows that the
    pushed points are compared with. The floor uses rows of the target disjoint from those where there are enough.
    Raises `InputError` for a target of fewer than two rows or for unknown methods.
    """
    rows = min(rows, _available(target) // 2)
    if rows < 1:
        raise InputError("the target has fewer than two rows: nothing can be compared")
    x0, aimed, fresh = (
        measure.block(index, rows, seed=seed) for measure, index in ((source, 0), (target, 0), (target, 1))
    )
    condition = transport.observed(aimed, generator=seeded(seed, "observe"))
    traced = (Wasserstein2(), EnergyDistance()) if metrics is None else metrics
    metrics = default_metrics() if metrics is None else metrics
    flow = transport if isinstance(transport, FlowTransport) else None
    solution = _moved(flow, x0.x, condition, seed) if flow else _straight(transport, x0.x, condition, seed)
    scores = score(
        metrics, solution.x, aimed.x.to(solution.x), fresh.x.to(solution.x), source=x0.x.to(solution.x), seed=seed
    )
    curves: dict[str, list[tuple[int, float]]] = {metric.name: [] for metric in traced} if flow else {}
    for pushed in _in_steps(flow, x0.x, condition, steps, method, seed) if flow else ():
        for metric in traced:
            value = measure(metric, pushed.x, aimed.x.to(pushed.x), seed=seed)
            curves[metric.name].append((pushed.evaluations, value))
    return Evaluation(
        rows, solution.evaluations, scores, curves, _paths(solution.path, solution.nodes, scores),
        _likelihood(flow, target, aimed, condition, likelihood_rows, seed),
    )  # fmt: skip


@torch.no_grad()
def _in_steps(
    flow: FlowTransport, x: Tensor, condition: Any, steps: Sequence[int], method: str | None, seed: int
) -> Iterator[Solution]:
    """Push `x` in each number of steps, by a method or by the flow's own solver; methods stop at the boundaries of a
    flow that jumps in time, which takes as many steps as there are windows at least.
    """
    boundaries = flow.field.boundaries
    grid = Piecewise((0.0, *boundaries, 1.0)) if boundaries else Uniform()
    for count in steps:
        if method is not None:
            if count > len(boundaries):
                yield flow.solve(x, condition, solver=FixedStep(cast(Any, method), count, grid))
            continue
        with suppress(InputError):  # fewer steps than there are windows, say
            generator = seeded(seed, "steps", count, device=flow.device)
            yield flow.solve(x, condition, solver=choose_solver(flow.solver, steps=count), generator=generator)


def _moved(flow: FlowTransport, x: Tensor, condition: Any, seed: int) -> Solution:
    """Push `x` as the flow does, with its path: at the solver's own times where it takes steps, since others would be
    further steps.
    """
    solver = flow.solver
    times = solver.layout(0.0, 1.0).nodes if isinstance(solver, GridSolver) else 101
    return flow.trajectory(x, condition, times=times, generator=seeded(seed, "push", device=flow.device))


def _straight(transport: Transport, x: Tensor, condition: Any, seed: int) -> Solution:
    """Push `x` by a map, which has no paths of its own: straight lines stand for them."""
    pushed = transport.push(x, condition, generator=seeded(seed, "push", device=transport.device))
    return Solution(pushed, 0, nodes=torch.tensor([0.0, 1.0]), path=torch.stack([x.to(pushed), pushed]))


def _available(target: Measure) -> int:
    return len(target) if hasattr(target, "__len__") else 1 << 30  # type: ignore[arg-type]


def _paths(path: Tensor | None, nodes: Tensor | None, scores: list[Score]) -> dict[str, float]:
    """Measure the paths; no flow between two measures has less energy than their squared W2."""
    if path is None or nodes is None:
        return {}
    cost = (path[-1] - path[0]).flatten(1).square().sum(1).mean()
    nodes = nodes.to(path)
    found = {"path energy": float(path_energy(path, nodes))}
    for item in scores:
        if item.name == Wasserstein2.name and item.baseline is not None:
            found["squared W2, source to target"] = item.baseline**2
    return found | {
        "straightness": float(straightness(path, nodes)),
        "transport cost": float(cost),
    }


def _likelihood(
    transport: FlowTransport | None, target: Measure, aimed: Samples, condition: Any, rows: int, seed: int
) -> dict[str, float]:
    """Mean negative log-likelihood of some target rows, where the source has a density; Hutchinson's estimate above 32
    dimensions.
    """
    if transport is None or transport.source is None or rows == 0:
        return {}
    points = aimed.x[:rows]
    some = None if condition is None else {name: column[:rows] for name, column in condition.items()}
    probes = None if points[0].numel() <= 32 else 4
    try:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            found = {
                "negative log-likelihood": -float(
                    transport.log_prob(points, some, probes=probes, generator=generator).mean()
                )
            }
    except (NotImplementedError, InputError):  # a source, or a start, without a density
        return {}
    try:
        return found | {"negative log-likelihood, floor": -float(target.log_prob(points).mean())}
    except NotImplementedError:
        return found
