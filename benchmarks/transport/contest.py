"""How contenders meet: in turn, round after round, each as often as is affordable; who cannot start is still named."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import peers
from benchmarks.markdown import table
from benchmarks.settings import Rows
from benchmarks.transport.worker import Outcome, Prepare, Worker

__all__ = ["LIMIT", "Call", "contest", "figures", "seconds", "with_ratios"]

LIMIT = 60.0
"""Seconds that one run of a solver may take."""
AFFORDABLE = 3.0
"""Seconds that the repeated runs of a solver may take together; a first run above half of it is not repeated."""


@dataclass(frozen=True)
class Call:
    """What a contender is: a function for the worker with its arguments, and the package it needs."""

    package: str
    prepare: Prepare
    arguments: tuple[object, ...]


def contest(
    worker: Worker,
    calls: Mapping[str, Call],
    rounds: int,
    limit: float = LIMIT,
    hopeless: Callable[[str], bool] = lambda name: False,
) -> Rows:
    """Run every contender once a round and return a row for each: `cpu` and `wall` seconds, medians, and its report.

    A contender that is soon done runs in every round (its first run, which warms up, is dropped), any other once. One
    that is `hopeless`, for it failed at less, is not tried. Where there is no time, `trouble` says why.
    """
    outcomes: dict[str, list[Outcome]] = {}
    for name, call in calls.items():
        outcomes[name] = [_first(worker, call, limit, hopeless(name))]
    for number in range(rounds):
        for name, call in calls.items():
            if _again(outcomes[name], number):
                outcomes[name].append(worker.call(call.prepare, *call.arguments, limit=limit))
    return [_row(name, found) for name, found in outcomes.items()]


def _first(worker: Worker, call: Call, limit: float, hopeless: bool) -> Outcome:
    if not peers.installed(call.package):
        return Outcome(trouble="not installed")
    if hopeless:
        return Outcome(trouble="not tried, failed at less")
    return worker.call(call.prepare, *call.arguments, limit=limit)


def _again(found: Sequence[Outcome], number: int) -> bool:
    walls = [one.lap.wall for one in found if one.lap is not None]
    if len(walls) < len(found) or walls[0] > AFFORDABLE / 2:
        return False
    return number == 0 or sum(walls[1:]) + walls[-1] < AFFORDABLE


def _row(name: str, found: Sequence[Outcome]) -> dict[str, Any]:
    kept = found[1:] or found
    if trouble := next((one.trouble for one in found if one.trouble), ""):
        return {"name": name, "cpu": None, "wall": None, "rounds": 0, "trouble": trouble}
    times = {
        clock: statistics.median(getattr(one.lap, clock) for one in kept)  # every outcome has a lap here
        for clock in ("cpu", "wall")
    }
    return {"name": name} | times | {"rounds": len(kept), "trouble": ""} | kept[-1].report


def with_ratios(rows: Rows, ours: str) -> Rows:
    """Add to each row our CPU time over its own, if both arrived."""
    time = next((row["cpu"] for row in rows if row["name"] == ours and not row["trouble"]), None)
    for row in rows:
        known = time is not None and row["cpu"] and not row["trouble"]
        row["ratio"] = time / row["cpu"] if known else None
    return rows


def seconds(value: float | None) -> str:
    """Return three digits: `0.0123`, `1.23`, `12.3`; a dash for nothing."""
    return "-" if value is None else f"{value:.3g}"


def figures(rows: Rows, columns: Mapping[str, Callable[[dict[str, Any]], str]]) -> str:
    """Return a table with the name, what `columns` say, CPU seconds, ours over them, and what was the matter."""
    header = ["", *columns, "CPU seconds", "ours / this", "runs", ""]
    lines = [
        [
            row["name"],
            *(write(row) for write in columns.values()),
            seconds(row["cpu"]),
            seconds(row["ratio"]),
            str(row["rounds"]),
            row["trouble"],
        ]
        for row in rows
    ]
    return table(header, lines)
