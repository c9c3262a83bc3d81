"""What a user may change about a benchmark, and what a benchmark is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Benchmark", "Rows", "Settings"]

Rows: TypeAlias = list[dict[str, Any]]
"""What a benchmark measured: plain values, ready for JSON."""


@dataclass(frozen=True)
class Settings:
    """How thoroughly to measure.

    `rounds` is the number of interleaved rounds of a timing; `steps` and `seeds` say how models are trained where
    quality is compared. With `smoke` every size is tiny: it shows that the benchmark runs, and the figures mean
    nothing.
    """

    rounds: int = 15
    steps: int = 5000
    seeds: tuple[int, ...] = (0, 1, 2)
    smoke: bool = False


@dataclass(frozen=True)
class Benchmark:
    """One question, how it is measured and how the answer is written.

    `run(settings, save)` calls `save` with all rows so far whenever more are known, so that a long run that is cut
    short is not lost. One with `resume(settings, save, known)` can go on from the rows `known` of a run of the same
    settings, and does what they lack.
    """

    name: str
    question: str
    run: Callable[[Settings, Callable[[Rows], None]], None]
    markdown: Callable[[Rows], str]
    resume: Callable[[Settings, Callable[[Rows], None], Rows], None] | None = None
