"""How long do many small problems take, solved together?"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.transport.contest import Call, contest, figures, with_ratios
from benchmarks.transport.entropic_solvers import SOLVERS, Prepared, Solver, absorbed, ours, pot
from benchmarks.transport.exact import MATCHERS
from benchmarks.transport.problems import Potentials, Task, audit, clouds, task
from benchmarks.transport.worker import Run, Worker
from pushforward.geometry import SquaredEuclidean
from pushforward.ot import solve

__all__ = ["BATCHERS", "BENCHMARK", "prepare_entropic", "prepare_exact"]

EPSILON, TOLERANCE = 0.05, 1e-6


def one_by_one(solver: Callable[[Task], Prepared], task: Task) -> Prepared:
    """Any solver of single problems in a loop."""
    singles = [solver(replace(task, x=x, y=y)) for x, y in zip(task.x, task.y, strict=True)]

    def run() -> Potentials:
        found = [single() for single in singles]
        f, g = (torch.stack([torch.as_tensor(getattr(one, side)) for one in found]) for side in "fg")
        return Potentials(f, g, max(one.iterations or 0 for one in found))

    return run


def ott(task: Task) -> Prepared:
    """OTT-JAX with momentum, mapped over the problems and compiled beforehand."""
    import_ = importlib.import_module
    jax, linear = import_("jax"), import_("ott.problems.linear.linear_problem")
    pointcloud, momentum = import_("ott.geometry.pointcloud"), import_("ott.solvers.linear.acceleration").Momentum
    solver = import_("ott.solvers.linear.sinkhorn").Sinkhorn(
        threshold=task.tolerance / 2, max_iterations=10**5, momentum=momentum(value=1.5)
    )

    def potentials(x: Any, y: Any) -> tuple[Any, Any, Any]:
        found = solver(linear.LinearProblem(pointcloud.PointCloud(x, y, epsilon=task.epsilon)))
        return found.f, found.g, found.n_iters

    points = [jax.numpy.asarray(side.numpy()) for side in (task.x, task.y)]
    compiled = jax.jit(jax.vmap(potentials)).lower(*points).compile()

    def run() -> Potentials:
        f, g, iterations = jax.block_until_ready(compiled(*points))
        return Potentials(np.array(f) + task.offset, np.array(g) + task.offset, int(iterations.max()))

    return run


def pot_batch(task: Task) -> Prepared:
    """POT's batched Sinkhorn, whose rule looks at an L2 norm."""
    solver = importlib.import_module("ot.batch").bregman_log_projection_batch

    def run() -> Potentials:
        found = solver(
            task.cost() / -task.epsilon,
            task.weights,
            task.weights,
            max_iter=task.iterations,
            tol=task.tolerance / math.sqrt(task.n),
        )
        u, v = found["potentials"]
        return Potentials(task.epsilon * u + task.offset, task.epsilon * v + task.offset, found["n_iters"])

    return run


def mdot_batch(task: Task) -> Prepared:
    """mdot-tnt's batched solver, by the function behind its public one, which takes no tolerance."""
    solver = importlib.import_module("mdot_tnt.batched")._batched_mdot

    def run() -> Potentials:
        cost, a = task.cost(), task.weights
        scale = float(cost.max())
        gamma = scale / task.epsilon
        p = math.log(math.log(task.n) / (2 * task.tolerance)) / math.log(gamma)
        u, v, _, operations, _ = solver(a, a, cost / scale, gamma, p=p)
        return Potentials(task.epsilon * u + task.offset, task.epsilon * v + task.offset, operations)

    return run


BATCHERS = {
    "pushforward": Solver("pushforward", ours()),
    "OTT, momentum 1.5, vmap": Solver("ott", ott),
    "POT batch": Solver("ot", pot_batch),
    "mdot-tnt batch": Solver("mdot_tnt", mdot_batch),
    "POT sinkhorn, one by one": Solver("ot", partial(one_by_one, pot("sinkhorn"))),
    "absorbed kernel, by hand, one by one": Solver("torch", partial(one_by_one, absorbed)),
    "mdot-tnt, one by one": Solver("mdot_tnt", partial(one_by_one, SOLVERS["mdot-tnt"].prepare)),
}
SINGLE = ("POT emd", "SciPy linear_sum_assignment", "lapx lapjvr", "lapx lapjvh")


def prepare_entropic(name: str, batch: int, n: int, d: int) -> Run:
    """Prepare an entropic contender, for the worker."""
    problem = task(n, d, EPSILON, TOLERANCE, batch=batch)
    return Run(BATCHERS[name].prepare(problem), partial(_checked, problem))


def _checked(task: Task, found: Potentials) -> dict[str, Any]:
    report = audit(task, found)
    return report | {"value": report["bound"], "missed": not report["error"] <= 1.02 * task.tolerance}


def prepare_exact(name: str, batch: int, n: int, d: int) -> Run:
    """Prepare an exact contender, for the worker."""
    x, y = clouds(n, d, batch)
    if name == "pushforward":
        solve(x[:1], y[:1])  # compiles
        return Run(lambda: solve(x, y).value, lambda value: {"value": float(value.mean())})
    match = MATCHERS[name.removesuffix(", one by one")].prepare()

    def cost(found: list[np.ndarray]) -> dict[str, Any]:
        pairs = [side.argmax(1) if side.ndim == 2 else side for side in found]
        index = torch.as_tensor(np.stack(pairs).astype(np.int64))[..., None].expand_as(y)
        return {"value": float(SquaredEuclidean().aligned(x, y.gather(1, index)).mean())}

    return Run(lambda: [match(*pair) for pair in zip(x, y, strict=True)], cost)


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Measure entropic and exact plans in either dimension."""
    rows: Rows = []
    batch, n = (3, 16) if settings.smoke else (256, 64)
    exact = {"pushforward": "pushforward"} | {f"{name}, one by one": MATCHERS[name].package for name in SINGLE}
    with Worker() as worker:
        for d in (2,) if settings.smoke else (2, 64):
            case = {"batch": batch, "n": n, "d": d}
            of = tuple(case.values())
            entropic = {name: Call(one.package, prepare_entropic, (name, *of)) for name, one in BATCHERS.items()}
            matching = {name: Call(package, prepare_exact, (name, *of)) for name, package in exact.items()}
            for kind, calls in (("entropic", entropic), ("exact", matching)):
                found = _judge(contest(worker, calls, settings.rounds))
                rows += [case | {"kind": kind} | row for row in with_ratios(found, "pushforward")]
                save(rows)


def _judge(rows: Rows) -> Rows:
    best = next((row["value"] for row in rows if "value" in row), 0.0)
    for row in rows:
        if row.pop("missed", False):
            row["trouble"] = "error too large"
        elif "value" in row and abs(row["value"] - best) > 1e-4 * abs(best):
            row["trouble"] = "another value"
    return rows


def markdown(rows: Rows) -> str:
    """Return a table with one line for each contender and problem."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "plans": lambda row: row["kind"],
        "d": lambda row: str(row["d"]),
        "error": lambda row: f"{row['error']:.1e}" if "error" in row else "-",
        "iterations": lambda row: f"{row['iterations']:,}" if row.get("iterations") else "-",
    }
    return figures(rows, columns)


BENCHMARK = Benchmark("transport_batched", "How long do 256 problems of 64 by 64 points take together?", run, markdown)
