"""Interleaved timing: every contender runs once in each round, and ratios are taken inside rounds.

Other work on the machine slows the contenders of a round alike, so ratios survive where times do not. Three clocks:
CPU time of the whole process, worker threads included; CPU time of the calling thread alone; and wall time, which is
what a user waits.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

__all__ = ["Clock", "Contender", "Lap", "interleave", "ratio", "ratios", "timed"]

Clock: TypeAlias = Literal["cpu", "thread", "wall"]


@dataclass(frozen=True)
class Lap:
    """Seconds for one unit of work."""

    cpu: float
    thread: float
    wall: float

    @classmethod
    def between(cls, start: Lap, end: Lap, units: int) -> Lap:
        """From two readings of the clocks."""
        return cls((end.cpu - start.cpu) / units, (end.thread - start.thread) / units, (end.wall - start.wall) / units)

    @classmethod
    def now(cls) -> Lap:
        """Read the clocks."""
        return cls(time.process_time(), time.thread_time(), time.perf_counter())


Contender: TypeAlias = Callable[[], Lap]


def timed(work: Callable[[], object], units: int) -> Contender:
    """Make a contender of `work`, which is called `units` times a round."""

    def run() -> Lap:
        start = Lap.now()
        for _ in range(units):
            work()
        return Lap.between(start, Lap.now(), units)

    return run


def interleave(contenders: Mapping[str, Contender], rounds: int) -> list[dict[str, Lap]]:
    """Run every contender once a round, each round starting one further in the list; a first round warms up and is
    dropped.
    """
    names = list(contenders)
    laps = []
    for number in range(rounds + 1):
        gc.collect()
        first = number % len(names)
        found = {name: contenders[name]() for name in names[first:] + names[:first]}
        laps.append({name: found[name] for name in names})
    return laps[1:]


def ratio(laps: Sequence[Mapping[str, Lap]], name: str, floor: str, clock: Clock) -> list[float]:
    """Return the lower quartile, median and upper quartile over rounds of a contender's time over the floor's."""
    values = [getattr(lap[name], clock) / getattr(lap[floor], clock) for lap in laps]
    if len(values) == 1:
        return values * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, middle, high]


def ratios(laps: Sequence[Mapping[str, Lap]], floor: str) -> list[dict[str, Any]]:
    """Return for every contender its ratio to the floor, by every clock."""
    return [{"name": name} | {clock: ratio(laps, name, floor, clock) for clock in get_args(Clock)} for name in laps[0]]
