"""Every method on every task, and what its training step costs; a run that stopped goes on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.few_step.lab import Budget, Lab
from benchmarks.few_step.methods import FLOWS, Method, methods
from benchmarks.few_step.report import draw, markdown
from benchmarks.few_step.tasks import tasks
from benchmarks.settings import Benchmark, Rows, Settings
from benchmarks.timing import interleave, ratio, timed
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, Architecture, Field
from pushforward.objectives import MeanFlow, Objective
from pushforward.paths import Affine
from pushforward.randomness import seeded
from pushforward.training.adamw import AdamW

__all__ = ["BENCHMARK"]


def resume(settings: Settings, save: Callable[[Rows], None], known: Rows) -> None:
    """Do what the `known` rows lack, one cell (task, method, seed) after the other."""
    budget = Budget(6, 8, 32) if settings.smoke else Budget(settings.steps)
    rows, wanted = list(known), methods(budget.pairs)
    done = {(row["task"], row["name"], row["seed"]) for row in known if "seed" in row}
    for seed in settings.seeds[:1] if settings.smoke else settings.seeds:
        for task in tasks(settings.smoke):
            lab = Lab(task, seed, budget)
            for method in wanted:
                if (task.name, method.name, seed) not in done:
                    rows.append(cell(lab, method))
                    save(rows)
    costs = step_costs(wanted, settings)
    save([row for row in rows if "step" not in row] + costs)
    if not settings.smoke:
        draw(rows)


def run(settings: Settings, save: Callable[[Rows], None]) -> None:
    """Do everything."""
    resume(settings, save, [])


@torch.no_grad()
def cell(lab: Lab, method: Method) -> dict[str, Any]:
    """Train a method and judge it; what it refuses on this task, of the source say, is left out, and why is kept.

    Raises `AssertionError` where it takes other evaluations than it says.
    """
    task, distances, taken, refused, spent, seconds = lab.task, {}, {}, {}, 0, 0.0
    for count in method.counts:
        generator = seeded(lab.seed, "few steps", "noise on the way")
        try:
            with torch.enable_grad():
                made = method.made(lab, count)
            solution = made.transport.solve(task.x0, task.condition, generator=generator)
        except InputError as reason:
            refused[str(count)] = str(reason)
            continue
        assert solution.evaluations == count or "Dormand-Prince" in method.name, (method.name, solution.evaluations)
        distances[str(count)], taken[str(count)] = task.judge(solution.x), solution.evaluations
        spent, seconds = max(spent, made.steps), max(seconds, made.seconds)
    return {
        "task": task.name, "name": method.name, "seed": lab.seed, "measure": task.judge.measure, "floor": task.floor,
        "distance": distances, "evaluations": taken, "refused": refused, "training_steps": spent,
        "training_cpu_seconds": seconds,
    }  # fmt: skip


SIZES = {"d 2, batch 256, 3 x 128": (2, 256, MLP(128, 3)), "d 64, batch 512, 4 x 512": (64, 512, MLP(512, 4))}
"""Dimension, rows and network of the timings."""


def step_costs(wanted: list[Method], settings: Settings) -> Rows:
    """Time the training step of every objective against flow matching's, in the course of a training, in turn."""
    objectives: dict[str, Objective] = {}
    for method in wanted:
        if method.objective is not None and method.objective not in objectives.values():
            objectives[method.name] = method.objective
    objectives["MeanFlow, a quarter of the rows jumping"] = MeanFlow()
    units, rows = 2 if settings.smoke else 20, []
    for size, (dimension, batch, network) in SIZES.items():
        x0, x1 = (torch.randn(batch, dimension, generator=seeded(0, side)) for side in ("source", "target"))
        work = {name: stepping(objective, Pairs(x0, x1), network, units) for name, objective in objectives.items()}
        laps = interleave({name: timed(one, units) for name, one in work.items()}, settings.rounds)
        rows += [{"name": name, "size": size, "step": ratio(laps, name, FLOWS[0], "cpu")} for name in work]
    return rows


def stepping(objective: Objective, pairs: Pairs, network: Architecture, units: int) -> Callable[[], None]:
    """Return a step of training; each is later in the training than the one before, of which there are `units`."""
    torch.manual_seed(0)
    field = Field(objective.architecture(network), Affine(), tuple(pairs.x0.shape[1:]), {})
    optimizer, generator = AdamW(field.parameters()), torch.Generator().manual_seed(0)
    times = itertools.cycle(number / units for number in range(units))

    def step() -> None:
        for parameter in field.parameters():
            parameter.grad = None
        objective.at(next(times))(field, pairs, field.path, generator=generator).total.backward()
        optimizer.step(1e-3)

    return step


BENCHMARK = Benchmark(
    "few_step", "Which method gives what in few steps, at the same budget of training?", run, markdown, resume
)
