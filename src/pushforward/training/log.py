"""What a training tells while it runs: `metrics.jsonl`, a progress line on a terminal, and the trackers that were
asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from pushforward.atomic import atomic_path

__all__ = ["TrainingLog", "progress_line", "read_history"]

Row = dict[str, float]


class TrainingLog:
    """Averages what each step reports and writes a row every `every` steps.

    An accelerator is asked for numbers only then.
    """

    def __init__(
        self, file: Path | None, every: int, first: int, listeners: tuple[Callable[[Row], None], ...] = ()
    ) -> None:
        """Continue after step `first`: rows past it, left by a run that was killed, are dropped."""
        self.file, self.every = file, every
        self.listeners = listeners
        self.rows: list[Row] = [row for row in read_history(file) if row["step"] <= first] if file else []
        if file:
            _rewrite(file, self.rows)
        self._sums: dict[str, float | Tensor] = {}
        self._since, self._clock = first, time.perf_counter()

    def add(self, step: int, terms: dict[str, Tensor], learning_rate: float) -> Row | None:
        """Take in the terms after `step` steps; return the row if one is due."""
        for name, value in terms.items():
            number = value.item() if value.device.type == "cpu" else value  # an accelerator would have to be waited for
            self._sums[name] = self._sums.get(name, 0.0) + number
        return self._emit(step, learning_rate) if step % self.every == 0 else None

    def _emit(self, step: int, learning_rate: float) -> Row:
        count, now = step - self._since, time.perf_counter()
        row = {"step": step} | {name: float(value) / count for name, value in self._sums.items()}
        row |= {"learning_rate": learning_rate, "steps_per_second": round(count / (now - self._clock), 2)}
        self._sums, self._since, self._clock = {}, step, now
        self.rows.append(row)
        if self.file:
            with self.file.open("a") as out:
                out.write(json.dumps(row) + "\n")
        for listener in self.listeners:
            listener(row)
        return row


def read_history(file: Path) -> list[Row]:
    """Return the rows of a `metrics.jsonl`, oldest first; a last line that was cut short is left out."""
    rows = []
    for line in file.read_text().splitlines() if file.exists() else []:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _rewrite(file: Path, rows: list[Row]) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows))


@contextmanager
def progress_line(steps: int, first: int, show: bool | None) -> Iterator[tuple[Callable[[Row], None], ...]]:
    """Show loss, rate and time left on standard error while the block runs; nothing when that is not a terminal
    (`show=None`).
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield ()
        return
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("training", total=steps, completed=first, figures="")

        def listener(row: Row) -> None:
            progress.update(
                task, completed=row["step"], figures=f"loss {row['loss']:.4g}  {row['steps_per_second']:.0f} steps/s"
            )

        yield (listener,)
