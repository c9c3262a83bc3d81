"""How long does an entropic plan take, to equal error, and who gets there at all?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby, product
from typing import Any

from benchmarks.markdown import table
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, seconds, with_ratios
from benchmarks.transport.entropic_solvers import SOLVERS
from benchmarks.transport.problems import audit, task
from benchmarks.transport.worker import Run, Worker

__all__ = ["BENCHMARKS", "judge", "prepare"]

OURS = "pushforward"
FLOOR = "absorbed kernel, by hand"
DIMENSIONS, EPSILONS, TOLERANCES = (3, 64), (0.05, 0.005, 0.0005), (1e-3, 1e-6)
SLACK = 1.02
"""What an error may exceed the tolerance by: truncation and rounding between a solver's measure of it and ours."""
AGREEMENT = 1e-4
_NOBODY: dict[str, Any] = {"name": "nobody", "cpu": None, "ratio": None}


def prepare(name: str, n: int, d: int, epsilon: float, tolerance: float) -> Run:
    """Prepare a solver, for the worker."""
    problem = task(n, d, epsilon, tolerance)
    return Run(SOLVERS[name].prepare(problem), partial(audit, problem))


def measure(worker: Worker, n: int, d: int, epsilon: float, tolerance: float, rounds: int, before: Rows) -> Rows:
    """Let every solver loose on one problem; `before` tells which of them failed at an easier one."""
    case = {"n": n, "d": d, "epsilon": epsilon, "tolerance": tolerance}
    easier = (row for row in before if row["d"] == d and row["epsilon"] >= epsilon and row["tolerance"] >= tolerance)
    failed = {row["name"] for row in easier if _far(row)}
    calls = {name: Call(solver.package, prepare, (name, *case.values())) for name, solver in SOLVERS.items()}
    return [case | row for row in contest(worker, calls, rounds, hopeless=failed.__contains__)]


def _far(row: dict[str, Any]) -> bool:
    """Whether a solver did not even come close."""
    return bool(row["trouble"]) and not row.get("error", float("inf")) <= 10 * row["tolerance"]


def judge(rows: Rows) -> Rows:
    """Strike out who missed the tolerance or the optimum, and compare the rest.

    `gap` is how far the dual value stays below the largest one found for the same d and epsilon by anyone; all of
    them are lower bounds of the optimum.
    """
    problem: Callable[[dict[str, Any]], tuple] = lambda row: (row["d"], row["epsilon"])  # noqa: E731
    for _, group in groupby(rows, problem):
        found = [row for row in group if "error" in row]
        best = max((row["bound"] for row in found if row["error"] < float("inf")), default=0.0)
        for row in found:
            row["gap"] = (best - row["bound"]) / abs(best) if best else 0.0
            row["trouble"] = row["trouble"] or _verdict(row)
    for _, group in groupby(rows, lambda row: (row["d"], row["epsilon"], row["tolerance"])):
        with_ratios(list(group), OURS)
    return rows


def _verdict(row: dict[str, Any]) -> str:
    if not row["error"] <= SLACK * row["tolerance"]:
        return "error too large"
    return "" if row["gap"] <= AGREEMENT else "another objective"


def run(n: int, settings: Settings, save: Callable[[Rows], None]) -> None:
    """Go from easy to hard problems, and save after each."""
    rows: Rows = []
    cases = [(3, 0.05, 1e-3)] if settings.smoke else product(DIMENSIONS, EPSILONS, TOLERANCES)
    with Worker() as worker:
        for d, epsilon, tolerance in cases:
            rows += measure(worker, 48 if settings.smoke else n, d, epsilon, tolerance, settings.rounds, rows)
            judge(rows)
            save(rows)


def markdown(rows: Rows) -> str:
    """Return who was best in each case, then everything."""
    return f"{_leaders(rows)}\n{_everything(rows)}"


def _leaders(rows: Rows) -> str:
    header = ["d, epsilon, tolerance", "ours", "best peer", "its time", "ours / best peer", "ours / by hand"]
    lines = []
    for (d, epsilon, tolerance), group in groupby(rows, lambda row: (row["d"], row["epsilon"], row["tolerance"])):
        arrived = {row["name"]: row for row in group if not row["trouble"]}
        mine, floor = arrived.pop(OURS, _NOBODY), arrived.pop(FLOOR, _NOBODY)
        best = min(arrived.values(), key=lambda row: row["cpu"], default=_NOBODY)
        figures = [seconds(mine["cpu"]), best["name"], *map(seconds, (best["cpu"], best["ratio"], floor["ratio"]))]
        lines.append([f"{d}, {epsilon:g}, {tolerance:g}", *figures])
    return table(header, lines)


def _everything(rows: Rows) -> str:
    columns = {
        "d": lambda row: str(row["d"]),
        "epsilon": lambda row: f"{row['epsilon']:g}",
        "tolerance": lambda row: f"{row['tolerance']:g}",
        "error": lambda row: f"{row['error']:.1e}" if "error" in row else "-",
        "iterations": lambda row: _iterations(row),
    }
    return figures(rows, columns)


def _iterations(row: dict[str, Any]) -> str:
    count = row.get("iterations")
    return "-" if count is None else f"{count:,}" + (f" ({row['method']})" if row["method"] else "")


def _benchmark(n: int) -> Benchmark:
    question = f"How long does an entropic plan of {n:,} points take to a given error?"
    return Benchmark(f"transport_entropic_{n}", question, partial(run, n), markdown)


BENCHMARKS = [_benchmark(1024), _benchmark(4096)]
