"""A flow on handwritten digits as vectors, with what its coupling did."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from pushforward.configuration import build
from pushforward.contracts import Coupling, Pairs
from pushforward.maps import FlowTransport, Frame
from pushforward.measures import Empirical, Gaussian, Measure, digits
from pushforward.metrics import effective_share, energy_distance, path_energy
from pushforward.randomness import seeded
from pushforward.recipes.experiment import Figures, ImageExperiment, Outcome, Sheet, class_names
from pushforward.solvers import FixedStep
from pushforward.training import FramedSides, fit_config, read_history

__all__ = ["CoupledDigits", "coupling_figures"]

BATCHES = 8


@dataclass(frozen=True)
class CoupledDigits(ImageExperiment):
    """Fit a flow from noise to half of scikit-learn's digits, as vectors of 64 numbers, and look at its coupling.

    `config` holds arguments of `fit`. With `by_class` the flow is conditional, and compared with the held-out half
    class by class. Figures: `loss@N`, the mean loss of the 50 steps before every 500th; `energy distance@N` at N Euler
    steps (with `by_class` the mean over classes, and `worst class@N`) and its `floor`, the training half; `path
    energy`; `training seconds`; and those of `coupling_figures`.
    """

    config: dict[str, Any] = field(default_factory=dict)
    by_class: bool = False
    evaluations: tuple[int, ...] = (1, 2, 4, 8, 100)

    def shown(self, seed: int) -> Outcome:
        """Fit on one half, compare with the other."""
        everything = digits()
        order = torch.randperm(len(everything), generator=seeded(seed, "halves"))
        label = everything.condition["label"] if everything.condition else None
        assert label is not None  # digits always have labels
        halves = (order[: len(order) // 2], order[len(order) // 2 :])
        train, held_out = (everything.x[rows].flatten(1) for rows in halves)
        classes = [label[rows] if self.by_class else torch.zeros(len(rows), dtype=torch.long) for rows in halves]
        measure = Empirical(train, {"label": classes[0]} if self.by_class else None)
        with TemporaryDirectory() as folder:
            started = time.perf_counter()
            transport = fit_config({"source": "gaussian", "target": measure, "seed": seed, "out": folder} | self.config)
            seconds = time.perf_counter() - started
            history = read_history(Path(folder) / "metrics.jsonl")
        losses = {f"loss@{int(row['step'])}": row["loss"] for row in history if row["step"] % 500 == 0}
        found = self._compare(transport, held_out, classes[1], seed)
        found["energy distance floor"] = _by_class(train, classes[0], held_out, classes[1])[0]
        coupling = build(self.config["coupling"])
        frames = (transport.source_frame, transport.target_frame)
        figures = coupling_figures(coupling, Gaussian.standard(train.shape[1]), measure, frames)
        sheets = (self._sheet(transport, seed), Sheet("held out, real", held_out[:100].reshape(-1, 1, 8, 8)))
        return Outcome(losses | found | figures | {"training seconds": seconds}, sheets)

    def _sheet(self, transport: FlowTransport, seed: int) -> Sheet:
        steps, noise = max(self.evaluations), torch.randn(100, *transport.event_shape, generator=seeded(seed, "sheet"))
        condition = {"label": torch.arange(100) // 10} if self.by_class else None
        made = transport.push(noise, condition, steps=steps, method="euler")
        words = "a row for each class, " if self.by_class else ""
        return Sheet(f"made, {words}by {steps} Euler steps", made.reshape(-1, 1, 8, 8))

    def _compare(self, transport: FlowTransport, held_out: Tensor, label: Tensor, seed: int) -> Figures:
        x = torch.randn(len(held_out), held_out.shape[1], generator=seeded(seed, "rows"))
        condition = {"label": label} if self.by_class else None
        figures: Figures = {}
        for steps in self.evaluations:
            made = transport.push(x, condition, steps=steps, method="euler")
            mean, worst = _by_class(made, label, held_out, label)
            figures[f"energy distance@{steps}"] = mean
            if self.by_class:
                figures[f"worst class@{steps}"] = worst
        solution = transport.trajectory(x, condition, times=51, solver=FixedStep("euler", 50))
        assert solution.path is not None and solution.nodes is not None
        return figures | {"path energy": float(path_energy(solution.path, solution.nodes))}

    def pieces(self) -> list[str]:
        """Return the classes named in the configuration."""
        return class_names(self.config)


def coupling_figures(coupling: Coupling, source: Measure, target: Empirical, frames: tuple[Frame, Frame]) -> Figures:
    """Prepare a coupling for `source` and `target`, pair 8 batches of 256 in the units of `frames`, and return what it
    did.

    CPU time: `preparation seconds`, and `coupling milliseconds` for a batch; `pair cost`, the mean squared distance of
    pairs; `targets used`, the effective share of a batch's targets; `source deviation` of the chosen source points over
    that of the source.
    """
    sides = FramedSides((source, target), frames)
    started = time.thread_time()
    coupling = coupling.prepared(sides, generator=seeded(0, "prepare"))
    seconds = time.thread_time() - started
    pairs, drawn, spent = [], [], 0.0
    for index in range(BATCHES):
        x0, rows = sides.source(256, generator=seeded(0, "source", index)), target.block(index, 256, seed=0)
        x1 = frames[1].enter(rows.x)
        started = time.thread_time()
        pairs.append(coupling(x0, x1, rows.condition, generator=seeded(0, "pair", index)))
        spent += time.thread_time() - started
        drawn.append(x0)
    return {
        "preparation seconds": seconds,
        "coupling milliseconds": spent / BATCHES * 1e3,
        "pair cost": sum(float(_weighted_cost(p)) for p in pairs) / BATCHES,
        "targets used": sum(_targets_used(p) for p in pairs) / BATCHES,
        "source deviation": _deviation(pairs) / float(torch.cat(drawn).std()),
    }


def _weighted_cost(pairs: Pairs) -> Tensor:
    cost = (pairs.x0 - pairs.x1).flatten(1).square().sum(1)
    return pairs.mean(cost)


def _deviation(pairs: list[Pairs]) -> float:
    """Return the deviation of the paired source points, by weight."""
    x0 = torch.cat([p.x0.flatten(1) for p in pairs])
    weight = torch.cat([torch.ones(len(p)) if p.weight is None else p.weight for p in pairs])
    weight = weight / weight.sum()
    return float((weight @ (x0 - weight @ x0).square()).mean().sqrt())


def _targets_used(pairs: Pairs) -> float:
    """Return the effective share of the rows of a batch that its targets, counted by weight, amount to."""
    weight = torch.ones(len(pairs)) if pairs.weight is None else pairs.weight
    _, row = pairs.x1.flatten(1).unique(dim=0, return_inverse=True)
    total = torch.zeros(len(pairs)).index_add_(0, row, weight)  # rows that are not used have no weight
    return float(effective_share(total))


def _by_class(x: Tensor, x_label: Tensor, y: Tensor, y_label: Tensor) -> tuple[float, float]:
    """Return the mean and the largest energy distance over the classes."""
    distances = [float(energy_distance(x[x_label == k], y[y_label == k])) for k in y_label.unique()]
    return sum(distances) / len(distances), max(distances)
