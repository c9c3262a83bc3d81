"""How long does the exact plan between equal numbers of points take, and how far off are the approximate ones?"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.problems import clouds
from benchmarks.transport.worker import Run, Worker
from pushforward.geometry import SquaredEuclidean
from pushforward.ot import solve
from pushforward.ot.solve import Method

__all__ = ["BENCHMARK", "MATCHERS", "Matcher", "excess", "prepare"]

LIMIT = 120.0
Match: TypeAlias = Callable[[Tensor, Tensor], np.ndarray]
"""`(x, y) -> permutation`, or the plan's matrix."""


@dataclass(frozen=True)
class Matcher:
    """A solver and the package it needs; `prepare` imports it. Approximate ones do not set the standard."""

    package: str
    prepare: Callable[[], Match]
    exact: bool = True


def ours(method: Method) -> Match:
    """The library, called as users call it; what short and long rows need is compiled beforehand."""
    for n in (8, 512):
        solve(*clouds(n, 2), method=method)
    return lambda x, y: solve(x, y, method=method).permutation.numpy()  # type: ignore[attr-defined]


def of_matrix(module: str, function: str, output: int) -> Match:
    """A function of the cost matrix that returns the columns as entry `output` of a tuple."""
    solver = getattr(importlib.import_module(module), function)
    return lambda x, y: solver(SquaredEuclidean().pairwise(x, y).numpy())[output]


def emd() -> Match:
    """POT's network simplex."""
    solver = importlib.import_module("ot").emd

    def match(x: Tensor, y: Tensor) -> np.ndarray:
        weights = np.full(len(x), 1 / len(x))
        return solver(weights, weights, SquaredEuclidean().pairwise(x, y).numpy(), numItermax=10**8)

    return match


def bsp() -> Match:
    """POT's merged binary space partitions: a permutation that is not optimal, soon."""
    solver = importlib.import_module("ot.bsp").compute_bspot_bijection
    return lambda x, y: solver(x.numpy(), y.numpy())[1]


MATCHERS = {
    "pushforward": Matcher("pushforward", partial(ours, "auto")),
    "POT emd": Matcher("ot", emd),
    "SciPy linear_sum_assignment": Matcher("scipy", partial(of_matrix, "scipy.optimize", "linear_sum_assignment", 1)),
    "lapx lapjv": Matcher("lap", partial(of_matrix, "lap", "lapjv", 1)),
    "lapx lapjvc": Matcher("lap", partial(of_matrix, "lap", "lapjvc", 2)),
    "lapx lapjvr": Matcher("lap", partial(of_matrix, "lap", "lapjvr", 2)),
    "lapx lapjvh": Matcher("lap", partial(of_matrix, "lap", "lapjvh", 2)),
    "POT BSP": Matcher("ot", bsp, exact=False),
}


def prepare(name: str, n: int, d: int) -> Run:
    """Prepare a solver, for the worker."""
    x, y = clouds(n, d)
    match = MATCHERS[name].prepare()
    return Run(lambda: match(x, y), partial(_value, x, y))


def _value(x: Tensor, y: Tensor, found: np.ndarray) -> dict[str, Any]:
    """Return the plan's cost, and the L1 error of its marginals (a permutation that repeats a target has one)."""
    n = len(x)
    if found.ndim == 1:
        target = torch.as_tensor(found.astype(np.int64))
        hits = torch.bincount(target, minlength=n)
        value = float(SquaredEuclidean().aligned(x, y[target]).mean())
        return {"value": value, "error": float((hits - 1).abs().sum()) / n}
    plan = torch.as_tensor(found)
    error = sum(float((plan.sum(axis) - 1 / n).abs().sum()) for axis in (0, 1))
    return {"value": float((plan * SquaredEuclidean().pairwise(x, y)).sum()), "error": error}


def excess(rows: Rows) -> Rows:
    """Add to each row what its plan costs above the cheapest; an exact solver has no business to cost more."""
    found = [row for row in rows if "value" in row]
    best = min((row["value"] for row in found if row["error"] < 1e-9), default=0.0)
    for row in found:
        row["excess"] = row["value"] / best - 1 if best else 0.0
        if row["error"] >= 1e-9:
            row["trouble"] = "not a coupling"
        elif row["exact"] and row["excess"] > 1e-9:
            row["trouble"] = "not optimal"
    return rows


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Go from small to large problems, and save after each."""
    rows: Rows = []
    cases = [(2, 32)] if settings.smoke else product((2, 64), (256, 1024, 4096))
    with Worker() as worker:
        for d, n in cases:
            failed = {row["name"] for row in rows if row["trouble"] and row["d"] == d}
            calls = {name: Call(matcher.package, prepare, (name, n, d)) for name, matcher in MATCHERS.items()}
            found = contest(worker, calls, settings.rounds, LIMIT, failed.__contains__)
            for row in found:
                row["exact"] = MATCHERS[row["name"]].exact
            rows += [{"n": n, "d": d} | row for row in with_ratios(excess(found), "pushforward")]
            save(rows)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each solver and problem."""
    columns = {
        "points": lambda row: f"{row['n']:,}",
        "d": lambda row: str(row["d"]),
        "excess cost": lambda row: f"{max(row['excess'], 0):.2%}" if "excess" in row else "-",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark(
    "transport_exact", "How long does the exact plan between as many points on either side take?", run, markdown
)
