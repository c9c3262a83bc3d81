"""What does a solver cost beyond the evaluations of the network?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias, get_args

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.markdown import quartiles, table
from benchmarks.problems import measures, network
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.timing import Clock, interleave, ratio, ratios, timed
from pushforward.conditions import Condition
from pushforward.maps import FlowTransport
from pushforward.networks import Field
from pushforward.paths import Affine
from pushforward.solvers import DormandPrince, FixedStep
from pushforward.training import Trainer, fit

__all__ = ["BENCHMARK"]

FLOOR = "bare evaluations"
TOLERANCE = 1e-5
PEER = "torchdiffeq"
AdaptiveSolver: TypeAlias = Callable[[Field, Tensor], Tensor]


class Recorder(nn.Module):
    """A network that keeps what it was called with."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        self.calls.append((x.clone(), t.clone()))
        return self.network(x, t)


@torch.no_grad()
def replay(module: nn.Module, calls: list[tuple[Tensor, Tensor]]) -> None:
    """Evaluate the network where a solver did, without the solver: its floor."""
    for x, t in calls:
        module(x, t)


# -- Euler ------------------------------------------------------------------------------------------


def euler(dimension: int, points: int, steps: int, settings: Settings) -> Rows:
    """Compare Euler's method, step for step, on an untrained network (its values do not matter)."""
    module = network(dimension)
    nn.init.normal_(module.last.weight, std=0.05)  # type: ignore[union-attr]
    model = Field(module, Affine(), (dimension,), {})
    transport, solver = FlowTransport(model).eval(), FixedStep("euler", steps)
    x = measures(dimension)[0].sample(points, generator=torch.Generator().manual_seed(0))
    calls = [(x.clone(), torch.full((points,), number / steps)) for number in range(steps)]
    work: dict[str, Callable[[], object]] = {
        FLOOR: lambda: replay(module, calls),
        "by hand": lambda: by_hand(module, x, steps),
        "pushforward FixedStep": torch.no_grad()(lambda: solver.solve(model, x)),
        "pushforward push": lambda: transport.push(x, steps=steps, method="euler"),
    }
    for name, solve in peers.euler_solvers(module, steps).items():
        work[name] = torch.no_grad()(lambda solve=solve: solve(x))
    repeats = 1 if settings.smoke else max(1, 40_000 // (points * steps))
    laps = interleave({name: timed(one, repeats) for name, one in work.items()}, settings.rounds)
    case = {"method": "euler", "dimension": dimension, "points": points, "steps": steps}
    return [case | row for row in ratios(laps, FLOOR)]


@torch.no_grad()
def by_hand(module: nn.Module, x: Tensor, steps: int) -> Tensor:
    """The three lines that one would write."""
    for number in range(steps):
        x = x + module(x, torch.full((len(x),), number / steps)) / steps
    return x


# -- Dormand-Prince ---------------------------------------------------------------------------------


def adaptive(dimension: int, points: int, settings: Settings) -> Rows:
    """Compare Dormand-Prince on a trained field, each solver over the bare evaluations that it made itself."""
    model = trained(dimension, 5 if settings.smoke else 1000)
    x = measures(dimension)[0].sample(points, generator=torch.Generator().manual_seed(0))
    exact = reference(model, x)
    rows: Rows = []
    work: dict[str, Callable[[], object]] = {}
    for name, solve in adaptive_solvers().items():
        calls, found = watched(model, solve, x, exact)
        rows.append({"method": "dopri5", "dimension": dimension, "points": points, "name": name} | found)
        work[name] = torch.no_grad()(lambda solve=solve: solve(model, x))
        work[f"{name}: {FLOOR}"] = lambda calls=calls: replay(model.network, calls)
    laps = interleave({name: timed(one, 1) for name, one in work.items()}, settings.rounds)
    for row in rows:
        row |= {clock: ratio(laps, row["name"], f"{row['name']}: {FLOOR}", clock) for clock in get_args(Clock)}
        row["over_torchdiffeq"] = ratio(laps, row["name"], PEER, "cpu") if PEER in work else None
    return rows


def adaptive_solvers() -> dict[str, AdaptiveSolver]:
    """Return the contenders."""
    found: dict[str, AdaptiveSolver] = {
        "pushforward, each row its own step": lambda field, x: DormandPrince(TOLERANCE).solve(field, x).x,
        "pushforward, one step for all": lambda field, x: (
            DormandPrince(TOLERANCE, error_control="batch").solve(field, x).x
        ),
    }
    if peers.installed(PEER):
        found[PEER] = lambda field, x: peers.torchdiffeq_dopri5(field.network, TOLERANCE)(x)
    return found


@torch.no_grad()
def watched(
    model: Field, solve: AdaptiveSolver, x: Tensor, exact: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], dict[str, Any]]:
    """Run a solver once; return the calls it made, and how many they were beside its error against the exact flow."""
    recorder = Recorder(model.network)
    error = (solve(Field(recorder, model.path, model.event_shape, {}), x).double() - exact).norm(dim=1)
    evaluations = sum(len(rows) for rows, _ in recorder.calls) / len(x)
    errors = {"error": float(error.square().mean().sqrt()), "largest_error": float(error.max())}
    return recorder.calls, {"calls": len(recorder.calls), "row_evaluations": evaluations} | errors


@torch.no_grad()
def reference(model: Field, x: Tensor) -> Tensor:
    """Return the field's flow in double precision, with Runge-Kutta steps so small that their error does not count."""
    double = Field(_Double(model.network), model.path, model.event_shape, {})
    return FixedStep("rk4", 200).solve(double, x.double()).x


class _Double(nn.Module):
    """A float32 network's own arithmetic, repeated in float64."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).double()

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.module(x, t)


def trained(dimension: int, steps: int) -> Field:
    """Train a field by the defaults of `fit`, in the data's own units."""
    source, target = measures(dimension)
    trainer = Trainer(steps=steps, device="cpu")
    return fit(source, target, trainer=trainer, normalise="none", show_progress=False).field


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure Euler at large and small batches, then Dormand-Prince."""
    rows: Rows = []
    dimensions = (2,) if settings.smoke else (2, 64)
    for dimension in dimensions:
        for points, steps in [(8, 3)] if settings.smoke else [(10_000, 10), (100, 100)]:
            rows += euler(dimension, points, steps, settings)
            save(rows)
    for dimension in dimensions:
        rows += adaptive(dimension, 16 if settings.smoke else 2000, settings)
        save(rows)


def markdown(rows: Rows) -> str:
    """Return a table for Euler and one for Dormand-Prince."""
    euler_rows, adaptive_rows = ([row for row in rows if row["method"] == method] for method in ("euler", "dopri5"))
    return f"{_euler_table(euler_rows)}\n{_adaptive_table(adaptive_rows)}"


def _euler_table(rows: Rows) -> str:
    cases = list(dict.fromkeys((row["dimension"], row["points"], row["steps"]) for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    found = {(row["name"], row["dimension"], row["points"], row["steps"]): row["cpu"] for row in rows}
    header = ["Euler", *(f"d {d}, {points:,} points, {steps} steps" for d, points, steps in cases)]
    lines = [[name, *(quartiles(found.get((name, *case))) for case in cases)] for name in names]
    targets = ["*target*", *("1.03" if points >= 10_000 else "1.10" for _, points, _ in cases)]
    return table(header, [*lines, targets])


def _adaptive_table(rows: Rows) -> str:
    header = [
        "Dormand-Prince",
        "d",
        "calls",
        "evaluations a row",
        "error (rms)",
        "largest error",
        "over its bare calls (CPU)",
        "over torchdiffeq (CPU)",
    ]
    lines = [
        [
            row["name"],
            str(row["dimension"]),
            str(row["calls"]),
            f"{row['row_evaluations']:.0f}",
            f"{row['error']:.1e}",
            f"{row['largest_error']:.1e}",
            quartiles(row["cpu"]),
            quartiles(row["over_torchdiffeq"]),
        ]
        for row in rows
    ]
    return table(header, [*lines, ["*target*", "", "torchdiffeq's", "", "", "", "1.15", ""]])


BENCHMARK = Benchmark("sampling", "What does a solver cost beyond the evaluations of the network?", run, markdown)
