"""What does a sliced Wasserstein distance cost above sorting the projections?"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.problems import clouds
from benchmarks.transport.worker import Run, Worker
from pushforward.metrics import sliced_wasserstein2

__all__ = ["BENCHMARK", "SLICERS", "prepare"]

Slice: TypeAlias = Callable[[], float]


def ours(x: Tensor, y: Tensor, projections: int) -> Slice:
    """The library; the metric is the root."""
    generator = torch.Generator().manual_seed(1)
    return lambda: float(sliced_wasserstein2(x, y, projections, generator=generator)) ** 2


def two_sorts(x: Tensor, y: Tensor, projections: int) -> Slice:
    """What torch itself does: project, sort either side, compare."""
    generator = torch.Generator().manual_seed(1)

    def distance() -> float:
        directions = torch.randn(x.shape[1], projections, generator=generator, dtype=x.dtype)
        directions /= directions.norm(dim=0)
        sorted_x, sorted_y = ((side @ directions).T.contiguous().sort(1).values for side in (x, y))
        return float((sorted_x - sorted_y).square().mean())

    return distance


def two_numpy_sorts(x: Tensor, y: Tensor, projections: int) -> Slice:
    """The floor: the same with NumPy's sort, which uses the vector instructions of the processor."""
    generator = torch.Generator().manual_seed(1)

    def distance() -> float:
        directions = torch.randn(projections, x.shape[1], generator=generator, dtype=x.dtype)
        directions /= directions.norm(dim=1, keepdim=True)
        sorted_x, sorted_y = (np.sort((directions @ side.T).numpy()) for side in (x, y))
        return float(np.square(sorted_x - sorted_y).mean())

    return distance


def pot(on_torch: bool, x: Tensor, y: Tensor, projections: int) -> Slice:
    """POT, with either backend."""
    distance = importlib.import_module("ot").sliced_wasserstein_distance
    sides = (x, y) if on_torch else (x.numpy(), y.numpy())
    return lambda: float(distance(*sides, n_projections=projections, seed=1)) ** 2


def ott(x: Tensor, y: Tensor, projections: int) -> Slice:
    """OTT-JAX, compiled beforehand."""
    jax, sliced = importlib.import_module("jax"), importlib.import_module("ott.tools.sliced")
    points = [jax.numpy.asarray(side.numpy()) for side in (x, y)]
    compiled = jax.jit(lambda x, y: sliced.sliced_wasserstein(x, y, n_proj=projections)[0]).lower(*points).compile()
    return lambda: float(compiled(*points))


SLICERS = {
    "pushforward": ("pushforward", ours),
    "two sorts by NumPy, by hand": ("numpy", two_numpy_sorts),
    "two sorts by torch, by hand": ("torch", two_sorts),
    "POT on NumPy": ("ot", partial(pot, False)),
    "POT on torch": ("ot", partial(pot, True)),
    "OTT": ("ott", ott),
}


def prepare(name: str, n: int, d: int, projections: int, precision: str) -> Run:
    """Prepare a contender, for the worker."""
    x, y = (side.to(getattr(torch, precision)) for side in clouds(n, d))
    return Run(SLICERS[name][1](x, y, projections), lambda value: {"value": value})


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure either precision."""
    rows: Rows = []
    n, d, projections = (32, 8, 16) if settings.smoke else (10_000, 64, 500)
    with Worker() as worker:
        for precision in ("float64", "float32"):
            case = {"n": n, "d": d, "projections": projections, "precision": precision}
            calls = {name: Call(package, prepare, (name, *case.values())) for name, (package, _) in SLICERS.items()}
            found = contest(worker, calls, settings.rounds)
            rows += [case | row for row in with_ratios(found, "pushforward")]
            save(rows)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each contender and precision."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "precision": lambda row: row["precision"],
        "squared distance": lambda row: f"{row['value']:.4f}" if "value" in row else "-",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark(
    "transport_sliced", "What does a sliced distance cost above sorting the projections?", run, markdown
)
