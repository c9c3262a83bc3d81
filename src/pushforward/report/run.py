"""From a run directory to what is said about it: its evaluation and its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pushforward.atomic import atomic_path
from pushforward.citations import cite
from pushforward.conditions import Schema
from pushforward.configuration import build
from pushforward.distillation import STAGES, TEACHER
from pushforward.errors import InputError
from pushforward.maps import Evaluation, FlowTransport, Transport, evaluate, load
from pushforward.measures import Measure, as_measure, takes_shape
from pushforward.randomness import seeded
from pushforward.report.data import QualityCurve, ReportData
from pushforward.report.page import write_report
from pushforward.training import read_config, read_history

__all__ = ["before_and_after", "evaluate_run", "report_run"]

PATHS, FRAMES = 300, 41
STEPS = (1, 2, 4, 8, 100)


def evaluate_run(
    directory: str | Path,
    *,
    source: str | None = None,
    target: str | None = None,
    rows: int = 2000,
    steps: Sequence[int] = STEPS,
    method: str | None = "euler",
    seed: int = 0,
    device: str = "cpu",
) -> Evaluation:
    """Evaluate the transport of a run, on the data it was fitted to or on another `source` and `target`, and keep the
    result.

    `evaluation.json` in the run says what was measured on what. Arguments are those of `pushforward.maps.evaluate`; a
    flow that knows jumps to the end alone is measured with its own solver, whatever the `method`.
    Raises `InputError` for a directory without a transport, and where the run does not say what its data were.
    """  # fmt: skip
    run = _Run(Path(directory), source, target, device)
    if isinstance(run.transport, FlowTransport) and getattr(run.transport.field, "only_to_end", False):
        method = None
    name = method or getattr(run.flow.solver, "method", type(run.flow.solver).__name__)
    measured = {"source": str(run.sides[0]), "target": str(run.sides[1]), "method": name, "seed": seed}
    found = evaluate(run.transport, *run.measures, rows=rows, steps=steps, method=method, seed=seed)
    with atomic_path(run.evaluation_file) as temporary:
        temporary.write_text(json.dumps(measured | found.to_dict(), indent=1) + "\n")
    return found


def report_run(
    directory: str | Path,
    output: str | Path | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    rows: int = 2000,
    seed: int = 0,
    device: str = "cpu",
) -> Path:
    """Write the report of a run, `report.html` inside it unless `output` names another file, and return its path.

    The evaluation is the one that the run holds, if it is of these data and not older than the weights; otherwise it is
    made first. A student stands beside its teacher. Raises `InputError` as `evaluate_run` does.
    """  # fmt: skip
    run = _Run(Path(directory), source, target, device)
    _ = run.flow  # refuses what has none, before the work
    if output is not None and not Path(output).parent.is_dir():
        raise InputError(
            f"cannot write {str(output)!r}: there is no folder {str(Path(output).parent)!r}: make it first"
        )
    if not run.is_evaluated(seed):
        evaluate_run(
            directory, source=source, target=target, rows=rows, steps=run.steps,
            method="euler" if run.teacher is None else None, seed=seed, device=device,
        )  # fmt: skip
    if run.teacher is not None and not run.teacher.is_evaluated(seed):
        evaluate_run(
            run.teacher.directory, source=run.sides[0], target=run.sides[1], rows=rows, steps=run.evaluations(),
            seed=seed, device=device,
        )  # fmt: skip
    return write_report(run.report(seed), run.directory / "report.html" if output is None else output)


def before_and_after(directory: str | Path) -> list[tuple[str, int, float | None, float]]:
    """Return the quality of a student and its teacher, as the report of their run has them: rows of metric, number of
    evaluations, the teacher's value (`None` where that was not measured) and the student's.
    """
    run = _Run(Path(directory), None, None, "cpu")
    if run.teacher is None:
        raise InputError(f"{directory} is not the run of a student: its teacher is not there")
    after, before = (Evaluation.from_dict(each.evaluation_values()).curves for each in (run, run.teacher))
    return [
        (metric, count, dict(before[metric]).get(count), value)
        for metric, points in after.items() for count, value in points
    ]  # fmt: skip


@dataclass(frozen=True)
class _Run:
    """A run directory, opened; `source` and `target` replace those of its configuration."""

    directory: Path
    source: str | None
    target: str | None
    device: str

    @cached_property
    def transport(self) -> Transport:
        return load(self.directory, device=self.device)

    @property
    def flow(self) -> FlowTransport:
        """The transport, where it has paths to show."""
        if not isinstance(self.transport, FlowTransport):
            kind = type(self.transport).__name__
            raise InputError(f"{self.directory} holds a {kind}, which has no paths to show: use evaluate")
        return self.transport

    @cached_property
    def config(self) -> dict[str, Any]:
        """The configuration; empty for a transport that was saved without one, when both sides are given."""
        known = self.source is not None and self.target is not None
        return {} if known and not (self.directory / "config.yaml").exists() else read_config(self.directory)

    @property
    def sides(self) -> tuple[Any, Any]:
        return self.source or self.config.get("source"), self.target or self.config.get("target")

    @cached_property
    def teacher(self) -> _Run | None:
        """The flow that this one was distilled from, on the same data."""
        folder = self.directory / STAGES / TEACHER
        return _Run(folder, *self.sides, self.device) if (folder / "transport.json").exists() else None

    @property
    def steps(self) -> list[int]:
        """The numbers of steps at which quality is shown, those of a student among them."""
        return sorted({*STEPS, self.config.get("steps", 1)})

    def evaluations(self) -> list[int]:
        """Return the numbers of evaluations at which the quality of this flow is known."""
        curves = Evaluation.from_dict(self.evaluation_values()).curves
        return sorted({count for points in curves.values() for count, _ in points})

    @property
    def history(self) -> list[dict[str, float]]:
        """The log of the training; for a student, that of the last one."""
        logs = [self.directory / "metrics.jsonl", *(self.directory / STAGES).glob("*/metrics.jsonl")]
        found = [log for log in logs if log.exists()]
        return read_history(max(found, key=lambda log: log.stat().st_mtime)) if found else []

    @property
    def evaluation_file(self) -> Path:
        return self.directory / "evaluation.json"

    @cached_property
    def measures(self) -> tuple[Measure, Measure]:
        for name, value in zip(("source", "target"), self.sides, strict=True):
            if not isinstance(value, str) or value.startswith("<"):
                raise InputError(
                    f"{self.directory} does not say what its {name} was (got {value}): give --{name}, a file or a name"
                )
        source, target = self.sides
        columns = self.transport.target_columns
        if takes_shape(target):
            measure = as_measure(source)
            return measure, as_measure(target, like=measure)
        measure = as_measure(target, condition=columns)
        return as_measure(source, like=measure), measure

    def is_evaluated(self, seed: int) -> bool:
        """Whether the run holds an evaluation of its present weights on these data."""
        weights = self.directory / "weights.safetensors"
        if not self.evaluation_file.exists() or not weights.exists():
            return False
        if self.evaluation_file.stat().st_mtime < weights.stat().st_mtime:
            return False
        values = self.evaluation_values()
        return [values.get(name) for name in ("source", "target", "seed")] == [*self.sides, seed]

    def evaluation_values(self) -> dict[str, Any]:
        """Return what the run holds of its evaluation."""
        try:
            return json.loads(self.evaluation_file.read_text())
        except ValueError as error:
            raise InputError(f"{self.evaluation_file} is damaged: delete it, or run evaluate again") from error

    def report(self, seed: int) -> ReportData:
        """Push the points that were evaluated and gather everything that the page shows."""
        values = self.evaluation_values()
        found = Evaluation.from_dict(values)
        source, target = self.measures
        x0, aimed = source.block(0, found.rows, seed=seed).x, target.block(0, found.rows, seed=seed)
        schema = self.flow.schema
        condition = self.flow.observed(aimed, generator=seeded(seed, "observe"))
        with torch.no_grad():
            pushed = self.flow.solve(x0, condition).x
        some = None if condition is None else {name: column[:PATHS] for name, column in condition.items()}
        moved = self.flow.trajectory(x0[:PATHS], some, times=FRAMES)
        return ReportData(
            title=f"{self.sides[0]} → {self.sides[1]}",
            summary=self._summary(found),
            source=x0,
            target=aimed.x,
            pushed=pushed.cpu(),
            labels=_labels(condition, schema),
            trajectory=None if moved.path is None else moved.path.cpu(),
            times=moved.nodes,
            losses=self.history,
            quality=self._quality(),
            floors={score.name: score.floor for score in found.scores},
            scores=found.scores,
            config=self.config,
            bibtex=cite(self.transport, *self._pieces()),
            image_range=_range(aimed.x),
        )

    def _quality(self) -> list[QualityCurve]:
        if self.teacher is None:
            return _curves(self.evaluation_values(), "")
        return _curves(self.teacher.evaluation_values(), "teacher, ") + _curves(self.evaluation_values(), "student, ")

    def _summary(self, found: Evaluation) -> dict[str, str]:
        best = {score.name: f"{score.value:.3g} (floor {score.floor:.3g})" for score in found.scores[:1]}
        steps = {"training steps": f"{self.config['trainer']['steps']:,}"} if "trainer" in self.config else {}
        parameters = sum(parameter.numel() for parameter in self.flow.field.parameters())
        sizes = {"parameters": f"{parameters:,}", "rows compared": f"{found.rows:,}"}
        measured = {name: f"{value:.4g}" for name, value in (found.paths | found.likelihood).items()}
        return best | {"evaluations": str(found.evaluations)} | steps | sizes | measured

    def _pieces(self) -> list[Any]:
        """The pieces that the transport does not hold itself; one from a module of the user's own has nothing to cite
        here.
        """
        pieces = []
        for name in ("coupling", "objective", "method"):
            try:
                pieces.append(build(self.config.get(name)))
            except InputError:
                continue
        return pieces


def _labels(condition: dict[str, Any] | None, schema: Schema) -> list[str] | None:
    """Name the class of each row by its first categorical condition."""
    categorical = [name for name, column in schema.items() if column.categories and condition and name in condition]
    return [str(value) for value in (condition or {})[categorical[0]]] if categorical else None


def _curves(values: dict[str, Any], whose: str) -> list[QualityCurve]:
    found = Evaluation.from_dict(values)
    return [
        QualityCurve(whose + values["method"], [count for count, _ in points], [value for _, value in points], metric)
        for metric, points in found.curves.items()
        if points
    ]


def _range(images: Tensor) -> tuple[float, float]:
    """What is shown as black and white: the range of the target."""
    low, high = float(images.min()), float(images.max())
    return (low, high) if high > low else (low, low + 1)
