"""A metric beside its floor: what the same metric says of two samples of the target itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.metrics.metric import Metric
from pushforward.randomness import seeded

__all__ = ["Score", "format_scores", "measure", "score"]


@dataclass(frozen=True)
class Score:
    """The `value` of a metric between pushed points and the target, its `floor` (target against target at the same
    sizes) and, where the source is known, its `baseline` (source against target).
    """

    name: str
    value: float
    floor: float
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        """Value over floor: 1 is as good as fresh data. `None` unless both are positive."""
        return self.value / self.floor if self.floor > 0 and self.value > 0 else None

    @property
    def gap_closed(self) -> float | None:
        """Share of the way from the baseline to the floor that was covered; `None` without a baseline above the
        floor.
        """
        if self.baseline is None or not self.baseline > self.floor:
            return None
        return (self.baseline - self.value) / (self.baseline - self.floor)


def score(
    metrics: Sequence[Metric], pushed: Tensor, target: Tensor, fresh_target: Tensor | None = None, *,
    source: Tensor | None = None, seed: int = 0,
) -> list[Score]:  # fmt: skip
    """Measure `pushed` against `target`, and beside it the floor and the baseline, all at the same number of rows.

    Args:
        metrics: what to measure.
        pushed: `(n, *event)`.
        target: `(m, *event)`, held out from training.
        fresh_target: `(k, *event)`, rows of the target disjoint from `target`; `None` splits `target` in two (rows in
            random order) and compares with its first half.
        source: rows of the source, for the baseline.
        seed: fixes what metrics draw; value, floor and baseline see the same projections.

    Returns one `Score` for each metric. Raises `InputError` where a metric does.
    """
    if fresh_target is None:
        target, fresh_target = _split(target, seed)
    n = min(part.shape[0] for part in (pushed, fresh_target, source) if part is not None)
    return [
        _score(metric, pushed[:n], target, fresh_target[:n], None if source is None else source[:n], seed)
        for metric in metrics
    ]


def _score(metric: Metric, pushed: Tensor, target: Tensor, fresh: Tensor, source: Tensor | None, seed: int) -> Score:
    value, floor = measure(metric, pushed, target, seed=seed), measure(metric, fresh, target, seed=seed)
    return Score(metric.name, value, floor, None if source is None else measure(metric, source, target, seed=seed))


def measure(metric: Metric, x: Tensor, target: Tensor, *, seed: int = 0) -> float:
    """Return `metric(x, target)` with the random draws that `score` uses for this seed."""
    return metric(x, target, generator=seeded(seed, "metric", metric.name))


def _split(target: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    if target.shape[0] < 2:
        raise InputError("the target has one row: a floor needs two, pass fresh_target")
    order = torch.randperm(target.shape[0], generator=seeded(seed, "floor")).to(target.device)
    middle = target.shape[0] // 2
    return target[order[:middle]], target[order[middle:]]


def format_scores(scores: Sequence[Score]) -> str:
    """Return the scores as an aligned text table: metric, value, floor, their ratio and the source's own value.

    >>> print(format_scores([Score("W2", 0.3, 0.1, 4.0), Score("energy distance", 0.25, 0.125, 2.0)]))
    metric           value  floor  ratio  source
    W2                 0.3    0.1   3.0x       4
    energy distance   0.25  0.125   2.0x       2
    """
    rows = [("metric", "value", "floor", "ratio", "source"), *(_cells(item) for item in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cells(item: Score) -> tuple[str, str, str, str, str]:
    ratio = "-" if item.ratio is None else f"{item.ratio:.1f}x"
    baseline = "-" if item.baseline is None else f"{item.baseline:.3g}"
    return item.name, f"{item.value:.3g}", f"{item.floor:.3g}", ratio, baseline
