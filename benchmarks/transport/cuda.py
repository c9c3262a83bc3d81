"""How long does a large entropic plan take on a GPU? Only where there is one."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.entropic_solvers import Prepared, Solver, geomloss, ours
from benchmarks.transport.problems import Potentials, Task, audit, task
from benchmarks.transport.worker import Run, Worker

__all__ = ["BENCHMARK", "prepare"]

EPSILON, TOLERANCE = 0.05, 1e-3


def flash(task: Task) -> Prepared:
    """flash-sinkhorn: fused Triton kernels. Its rule looks at the change of the potentials, in units of the cost."""
    loss = importlib.import_module("flash_sinkhorn").SamplesLoss(
        blur=math.sqrt(task.epsilon),
        eps=task.epsilon,
        n_iters=10_000,
        threshold=task.tolerance * task.epsilon,
        potentials=True,
        backend="alternating",
        use_epsilon_scaling=False,
        allow_tf32=False,
    )
    return lambda: Potentials(*loss(task.x, task.y))


SOLVERS = {
    "pushforward": Solver("pushforward", ours()),
    "flash-sinkhorn": Solver("flash_sinkhorn", flash),
    "GeomLoss on KeOps": Solver("pykeops", geomloss),
}


def prepare(name: str, n: int, d: int) -> Run:
    """Prepare a solver on the GPU, for the worker; kernels compile in an untimed run."""
    problem = task(n, d, EPSILON, TOLERANCE)
    problem = replace(problem, x=problem.x.float().cuda(), y=problem.y.float().cuda())
    solver = SOLVERS[name].prepare(problem)
    solver()

    def work() -> Potentials:
        found = solver()
        torch.cuda.synchronize()
        return found

    return Run(work, partial(audit, problem))


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure each size and dimension in float32, or say that there is no GPU."""
    if not torch.cuda.is_available():
        missing = {"name": "no GPU", "n": 0, "d": 0, "rounds": 0, "trouble": "not run"}
        save([missing | dict.fromkeys(("cpu", "wall", "ratio"))])
        return
    rows: Rows = []
    with Worker() as worker:
        for d, n in [(3, 64)] if settings.smoke else product((3, 64), (10_000, 100_000)):
            calls = {name: Call(solver.package, prepare, (name, n, d)) for name, solver in SOLVERS.items()}
            found = contest(worker, calls, settings.rounds)
            for row in found:
                row["cpu"] = row["wall"]  # on a GPU the time that passes is what counts
                row["trouble"] = row["trouble"] or ("" if row["error"] <= 1.02 * TOLERANCE else "error too large")
            rows += [{"n": n, "d": d} | row for row in with_ratios(found, "pushforward")]
            save(rows)


def markdown(rows: Rows) -> str:
    """Return a table with one line for each solver and problem."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "points": lambda row: f"{row['n']:,}",
        "d": lambda row: str(row["d"]),
        "error": lambda row: f"{row['error']:.1e}" if "error" in row else "-",
        "seconds": lambda row: f"{row['wall']:.4g}" if row["wall"] else "-",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark("transport_cuda", "How long does a large entropic plan take on a GPU?", run, markdown)
