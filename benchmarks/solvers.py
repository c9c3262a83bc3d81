"""What does an evaluation cost within each method of fixed steps?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import peers
from benchmarks.markdown import quartiles, table
from benchmarks.problems import measures, network
from benchmarks.sampling import FLOOR, replay
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.timing import interleave, ratios, timed
from pushforward.networks import Field
from pushforward.paths import VP, Affine
from pushforward.solvers import FixedStep
from pushforward.solvers.solver import FixedMethod

__all__ = ["BENCHMARK"]

STAGES: dict[FixedMethod, int] = {
    "euler": 1, "ab2": 1, "pseudo-corrector": 1, "ddim": 1, "dpm++2m": 1, "midpoint": 2, "heun": 2, "rk4": 4,
}  # fmt: skip
"""Evaluations of each step; the memory of two of these takes one more to fill."""
FILLING = ("ab2", "pseudo-corrector")
TORCHDIFFEQ: dict[FixedMethod, str] = {"euler": "euler", "midpoint": "midpoint", "heun": "heun2", "rk4": "rk4"}


def contenders(module: nn.Module, dimension: int, evaluations: int) -> dict[str, Callable[[Tensor], object]]:
    """Return every method with the same number of evaluations of the network, here and as the peers have it."""
    field = Field(module, Affine(VP()), (dimension,), {})
    found: dict[str, Callable[[Tensor], object]] = {}
    for method, stages in STAGES.items():
        solver = FixedStep(method, (evaluations - (method in FILLING)) // stages)
        found[f"pushforward {method}"] = lambda x, solver=solver: solver.solve(field, x)
    if peers.installed("torchdiffeq"):
        for method, theirs in TORCHDIFFEQ.items():
            found[f"torchdiffeq {method}"] = peers.torchdiffeq_fixed(module, theirs, evaluations // STAGES[method])
    if peers.installed("diffusers"):
        found |= {f"diffusers {name}": loop for name, loop in peers.diffusers_loops(module, evaluations).items()}
    return found


def methods(dimension: int, points: int, evaluations: int, settings: Settings) -> Rows:
    """Time them all over the bare evaluations, on an untrained network (its values do not matter)."""
    module = network(dimension)
    x = measures(dimension)[0].sample(points, generator=torch.Generator().manual_seed(0))
    calls = [(x.clone(), torch.full((points,), number / evaluations)) for number in range(evaluations)]
    work: dict[str, Callable[[], object]] = {FLOOR: lambda: replay(module, calls)}
    for name, solve in contenders(module, dimension, evaluations).items():
        work[name] = torch.no_grad()(lambda solve=solve: solve(x))
    repeats = 1 if settings.smoke else max(1, 40_000 // (points * evaluations))
    laps = interleave({name: timed(one, repeats) for name, one in work.items()}, settings.rounds)
    case = {"dimension": dimension, "points": points, "evaluations": evaluations}
    return [case | row for row in ratios(laps, FLOOR)]


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure large and small batches."""
    rows: Rows = []
    for dimension, points in [(2, 8)] if settings.smoke else [(64, 10_000), (64, 100)]:
        rows += methods(dimension, points, 16, settings)
        save(rows)


def markdown(rows: Rows) -> str:
    """Return one table: a line for each method."""
    cases = list(dict.fromkeys((row["dimension"], row["points"], row["evaluations"]) for row in rows))
    names = list(dict.fromkeys(row["name"] for row in rows))
    found = {(row["name"], row["dimension"], row["points"], row["evaluations"]): row["cpu"] for row in rows}
    header = ["", *(f"d {d}, {points:,} points, {n} evaluations" for d, points, n in cases)]
    return table(header, [[name, *(quartiles(found.get((name, *case))) for case in cases)] for name in names])


BENCHMARK = Benchmark(
    "solvers", "What does a method of fixed steps cost beyond the evaluations of the network?", run, markdown
)
