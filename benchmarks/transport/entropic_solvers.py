"""Every entropic solver behind one signature: a task in, potentials out.

Each is told to stop at the task's tolerance in the terms of its own stopping rule, and is given as many iterations as
the time limit allows. Its parameters are those that its documentation recommends, or better ones where we know them.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from benchmarks.transport.problems import NEVER, Potentials, Task, audit
from pushforward.ot import solve
from pushforward.ot.solve import Method

__all__ = ["SOLVERS", "Solver"]

PATIENCE = 60.0
"""Seconds that a trial may take where a solver's number of iterations has to be found by trial."""

Prepared: TypeAlias = Callable[[], Potentials]


@dataclass(frozen=True)
class Solver:
    """A solver and the package it needs. `prepare` imports and compiles, and returns what is timed."""

    package: str
    prepare: Callable[[Task], Prepared]


def ours(method: Method = "auto") -> Callable[[Task], Prepared]:
    """The library, called as users call it."""

    def prepare(task: Task) -> Prepared:
        limit = None if task.iterations == NEVER else task.iterations

        def run() -> Potentials:
            plan = solve(
                task.x, task.y, epsilon=task.epsilon, tolerance=task.tolerance, method=method, max_iterations=limit
            )
            return Potentials(plan.f, plan.g, plan.iterations, plan.method)

        return run

    return prepare


def absorbed(task: Task) -> Prepared:
    """The floor of Sinkhorn's iteration: the kernel once, two products a sweep, potentials absorbed when large."""

    def run() -> Potentials:
        C, a, epsilon = task.cost(), task.weights, task.epsilon
        f = C.amin(1)
        g = (C - f[:, None]).amin(0)
        done, error = 0, math.inf
        while True:
            kernel = ((f[:, None] + g - C) / epsilon).exp_()
            u, v = torch.ones_like(a), torch.ones_like(a)
            far = False
            while not far and error > task.tolerance and done < task.iterations:
                sums = kernel @ (a * v)
                error = float((a * (u * sums - 1)).abs().sum()) if done else math.inf
                u = sums.reciprocal()
                v = (kernel.T @ (a * u)).reciprocal()
                done += 1
                far = max(float(u.amax() / u.amin()), float(v.amax() / v.amin())) > 1e60
            f, g = f + epsilon * u.log(), g + epsilon * v.log()
            if not far:
                return Potentials(f, g, done)

    return run


def pot(method: str, on_torch: bool = False) -> Callable[[Task], Prepared]:
    """POT. Its rule looks at the L2 norm of one marginal's error, whose L1 norm is up to sqrt(n) times larger."""

    def prepare(task: Task) -> Prepared:
        sinkhorn = importlib.import_module("ot").sinkhorn
        names = {"sinkhorn": ("u", "v", "niter"), "sinkhorn_log": ("log_u", "log_v", "niter")}
        f, g, count = names.get(method, ("logu", "logv", "n_iter"))
        # from tau = 1000 and n > 1,000 on it absorbs in every iteration and never stops
        options = {"tau": 1e3 * task.n} if method == "sinkhorn_stabilized" else {}
        stop = {"stopThr": task.tolerance / math.sqrt(task.n), "numItermax": task.iterations}

        def run() -> Potentials:
            cost, a = (task.cost(), task.weights) if on_torch else (task.cost().numpy(), task.weights.numpy())
            _, log = sinkhorn(a, a, cost, task.epsilon, method=method, log=True, warn=False, **stop, **options)
            scalings = [np.asarray(log[name]) for name in (f, g)]
            f_, g_ = (np.log(s) for s in scalings) if method == "sinkhorn" else scalings
            return Potentials(task.epsilon * f_ + task.offset, task.epsilon * g_ + task.offset, log[count])

        return run

    return prepare


def ott(variant: str) -> Callable[[Task], Prepared]:
    """OTT-JAX, compiled beforehand. Accelerated variants leave an error on either side, and are told half."""

    def prepare(task: Task) -> Prepared:
        import_ = importlib.import_module
        jax, acceleration = import_("jax"), import_("ott.solvers.linear.acceleration")
        pointcloud, linear = import_("ott.geometry.pointcloud"), import_("ott.problems.linear.linear_problem")
        schedule = import_("ott.geometry.epsilon_scheduler").Epsilon
        options: dict[str, Any] = {
            "momentum 1.5": {"momentum": acceleration.Momentum(value=1.5)},
            "Anderson": {"anderson": acceleration.AndersonAcceleration(memory=5)},
        }.get(variant, {})
        epsilon = schedule(task.epsilon, init=1 / task.epsilon, decay=0.95) if variant == "schedule" else task.epsilon
        solver = import_("ott.solvers.linear.sinkhorn").Sinkhorn(
            threshold=task.tolerance / (2 if options else 1), max_iterations=min(task.iterations, 10**5), **options
        )

        def potentials(x: Any, y: Any) -> tuple[Any, Any, Any]:
            found = solver(linear.LinearProblem(pointcloud.PointCloud(x, y, epsilon=epsilon)))
            return found.f, found.g, found.n_iters

        points = [jax.numpy.asarray(side.numpy()) for side in (task.x, task.y)]
        compiled = jax.jit(potentials).lower(*points).compile()

        def run() -> Potentials:
            f, g, iterations = jax.block_until_ready(compiled(*points))
            return Potentials(np.array(f) + task.offset, np.array(g) + task.offset, int(iterations))

        return run

    return prepare


def geomloss(task: Task) -> Prepared:
    """GeomLoss has no stopping rule: it is given the number of iterations that a search, not timed, finds to do."""
    solve_sample = importlib.import_module("geomloss.ot").solve_sample

    def attempt(iterations: int) -> Potentials:
        found = solve_sample(task.x, task.y, reg=task.epsilon, max_iter=iterations)
        return Potentials(found.potential_a, found.potential_b, iterations)

    iterations = 16 if task.iterations == NEVER else task.iterations
    while task.iterations == NEVER:
        start = time.perf_counter()
        error = audit(task, attempt(iterations))["error"]
        if error <= task.tolerance:
            break
        factor = max(1.2, error / task.tolerance)  # the error falls as the reciprocal of the iterations
        if (seconds := factor * (time.perf_counter() - start)) > PATIENCE:
            raise ArithmeticError(f"error {error:.0e} with {iterations} iterations, would take {seconds:.0f} s")
        iterations = math.ceil(factor * iterations)
    return lambda: attempt(iterations)


def mdot(task: Task) -> Prepared:
    """mdot-tnt. Its tolerance follows from an exponent p; costs are scaled to at most 1, as it recommends."""
    solver = importlib.import_module("mdot_tnt").mdot

    def run() -> Potentials:
        cost, a = task.cost(), task.weights
        scale = float(cost.max())
        gamma = scale / task.epsilon
        p = math.log(math.log(task.n) / (2 * task.tolerance)) / math.log(gamma)
        u, v, reached, operations, _ = solver(a, a, cost / scale, gamma, p=p)
        if abs(reached / gamma - 1) > 1e-6:
            raise ArithmeticError(f"stopped at epsilon {scale / reached:.2g}")
        return Potentials(task.epsilon * u + task.offset, task.epsilon * v + task.offset, operations)

    return run


def regot(method: str) -> Callable[[Task], Prepared]:
    """RegOT. Its rule looks at an L2 norm; it wants the matrix by columns."""

    def prepare(task: Task) -> Prepared:
        solver = getattr(importlib.import_module("regot"), f"sinkhorn_{method}")
        stop = task.tolerance / (2 * math.sqrt(task.n))

        def run() -> Potentials:
            cost = Task(task.y, task.x, task.epsilon, task.tolerance).cost().numpy().T
            a = task.weights.numpy()
            found = solver(cost, a, a, task.epsilon, stop, task.iterations)
            f, g = found.dual[: task.n], np.zeros(task.n)
            g[: len(found.dual) - task.n] = found.dual[task.n :]  # the last entry is zero and may be left out
            return Potentials(f + task.offset, g + task.offset, int(found.niter))

        return run

    return prepare


def multiscale(task: Task) -> Prepared:
    """MultiScaleOT: truncated kernels on a tree of cells; each level takes the epsilons that its cells can resolve."""
    package = importlib.import_module("MultiScaleOT")
    package.setVerboseMode(False)

    def run() -> Potentials:
        x, y, a = (np.ascontiguousarray(side) for side in (task.x, task.y, task.weights))
        depth = int(math.log2(task.n) / task.x.shape[1]) + 1
        sides = [package.TMultiScaleSetup(points, a, depth, childMode=package.childModeTree) for points in (x, y)]
        levels = _epsilons(task, float(np.ptp(np.concatenate([x, y]), axis=0).max()), depth)
        schedule = package.TEpsScalingHandler()
        schedule.setupExplicit([np.array(level) for level in levels])
        cost = package.THierarchicalCostFunctionProvider_SquaredEuclidean(*sides)
        options = package.TSinkhornSolverParameters(
            maxIterations=task.iterations, innerIterations=10, generateFinalKernel=False
        )
        coarsest = next(k for k, level in enumerate(levels) if level)
        solver = package.TSinkhornSolverStandard(schedule, coarsest, depth, task.tolerance, *sides, cost, options)
        solver.initialize()
        if code := solver.solve():
            raise ArithmeticError(f"stopped with code {code}")
        return Potentials(*(side.getDual(depth) for side in sides))

    return run


def _epsilons(task: Task, width: float, depth: int) -> list[list[float]]:
    """Halve epsilon from 1 down; go to a finer level when it is below a tenth of the cells' squared width."""
    steps = max(1, math.ceil(math.log2(1 / task.epsilon)))
    levels: list[list[float]] = [[] for _ in range(depth + 1)]
    level = 1
    for epsilon in np.geomspace(1, task.epsilon, steps + 1):
        while level < depth and epsilon < 0.1 * (width / 2**level) ** 2:
            level += 1
        levels[level].append(float(epsilon))
    return levels if levels[-1] else [*levels[:-1], [task.epsilon]]


SOLVERS = {
    "pushforward": Solver("pushforward", ours()),
    "absorbed kernel, by hand": Solver("torch", absorbed),
    "POT sinkhorn": Solver("ot", pot("sinkhorn")),
    "POT sinkhorn_stabilized": Solver("ot", pot("sinkhorn_stabilized")),
    "POT sinkhorn_log on torch": Solver("ot", pot("sinkhorn_log", on_torch=True)),
    "OTT": Solver("ott", ott("default")),
    "OTT, momentum 1.5": Solver("ott", ott("momentum 1.5")),
    "OTT, Anderson": Solver("ott", ott("Anderson")),
    "OTT, epsilon schedule": Solver("ott", ott("schedule")),
    "GeomLoss": Solver("geomloss", geomloss),
    "mdot-tnt": Solver("mdot_tnt", mdot),
    "RegOT SPLR": Solver("regot", regot("splr")),
    "RegOT SSNS": Solver("regot", regot("ssns")),
    "MultiScaleOT": Solver("MultiScaleOT", multiscale),
}
