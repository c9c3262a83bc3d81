"""How much memory does a large entropic problem take?"""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.problems import task
from benchmarks.transport.worker import Run, Worker
from pushforward.ot import solve

__all__ = ["BENCHMARK", "growth", "prepare"]

SWEEPS = 3
LIMIT = 600.0
CEILING = 4 << 30
"""Bytes that a solver may ask for before it is refused: a dense matrix of 50,000 points takes 20 GB."""


def growth(work: Callable[[], object]) -> float:
    """Return by how many megabytes the process's resident memory grew at its peak."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not status.exists():  # elsewhere the peak of all time has to do
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    reset.write_text("5")  # the peak starts anew
    before = _kilobytes(status, "VmRSS")
    work()
    return (_kilobytes(status, "VmHWM") - before) / 1024


def _kilobytes(status: Path, key: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(f"{key}:"))


def _limit_address_space() -> None:
    status = Path("/proc/self/status")
    if status.exists():
        most = 1024 * _kilobytes(status, "VmSize") + CEILING
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def prepare(n: int, d: int) -> Run:
    """Prepare a few sweeps on a problem too large for its matrix, for a worker of its own."""
    problem = task(n, d, 0.05, 1e-12, SWEEPS)
    solve(problem.x[:64], problem.y[:64], epsilon=0.05)  # what is loaded once is not the problem's
    _limit_address_space()
    work = partial(solve, problem.x, problem.y, epsilon=0.05, tolerance=1e-12, max_iterations=SWEEPS)
    return Run(partial(growth, work), lambda megabytes: {"megabytes": megabytes})


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure each size in a fresh process."""
    rows: Rows = []
    for n in (64,) if settings.smoke else (10_000, 50_000):
        with Worker() as worker:
            found = contest(worker, {"pushforward": Call("pushforward", prepare, (n, 3))}, 0, LIMIT)
        rows += [{"n": n, "d": 3} | row for row in with_ratios(found, "pushforward")]
        save(rows)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each size."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "points": lambda row: f"{row['n']:,}",
        "d": lambda row: str(row["d"]),
        "growth, MB": lambda row: f"{row['megabytes']:,.0f}" if "megabytes" in row else "-",
        "dense matrix, MB": lambda row: f"{8 * row['n'] ** 2 / 2**20:,.0f}",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark("transport_memory", "How much memory does a large entropic problem take?", run, markdown)
