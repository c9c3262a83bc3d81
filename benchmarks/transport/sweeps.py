"""What does one iteration cost?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.entropic_solvers import SOLVERS, Solver, ours, regot
from benchmarks.transport.problems import audit, task
from benchmarks.transport.worker import Run, Worker

__all__ = ["BENCHMARK", "SWEEPERS", "prepare", "slopes"]

FEW, MANY = 10, 40
LIMIT = 120.0
EPSILON, UNREACHABLE = 0.005, 1e-12

SWEEPERS = {
    "pushforward, sinkhorn": Solver("pushforward", ours("sinkhorn")),
    **{name: solver for name, solver in SOLVERS.items() if name.startswith(("absorbed", "POT", "OTT", "GeomLoss"))},
    "RegOT BCD": Solver("regot", regot("bcd")),
}


def prepare(name: str, n: int, d: int, iterations: int) -> Run:
    """Prepare a solver that stops after so many iterations, for the worker."""
    problem = task(n, d, EPSILON, UNREACHABLE, iterations)
    return Run(SWEEPERS[name].prepare(problem), partial(audit, problem))


def slopes(few: Rows, many: Rows) -> Rows:
    """Return the time of one iteration from two runs of different length, so that what is done once cancels."""
    rows = []
    for short, long in zip(few, many, strict=True):
        row = {"name": long["name"], "rounds": long["rounds"], "trouble": short["trouble"] or long["trouble"]}
        count = 0 if row["trouble"] else (long["iterations"] or 0) - (short["iterations"] or 0)
        if not row["trouble"] and count <= 0:
            row["trouble"] = "stopped by itself"
        times = {clock: (long[clock] - short[clock]) / count if count > 0 else None for clock in ("cpu", "wall")}
        rows.append(row | times)
    return rows


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure either size."""
    rows: Rows = []
    with Worker() as worker:
        for n in (32,) if settings.smoke else (1024, 4096):
            found = [_contest(worker, n, count, settings.rounds) for count in (FEW, MANY)]
            rows += [{"n": n, "d": 3} | row for row in with_ratios(slopes(*found), "pushforward, sinkhorn")]
            save(rows)


def _contest(worker: Worker, n: int, iterations: int, rounds: int) -> Rows:
    calls = {name: Call(solver.package, prepare, (name, n, 3, iterations)) for name, solver in SWEEPERS.items()}
    return contest(worker, calls, rounds, LIMIT)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each solver and size."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "points": lambda row: f"{row['n']:,}",
        "milliseconds": lambda row: f"{1e3 * row['cpu']:.3g}" if row["cpu"] else "-",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark("transport_sweep", "What does one iteration cost?", run, markdown)
