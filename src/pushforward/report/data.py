"""What a report shows: plain data, so that it can be written for any transport."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.metrics import Score
from pushforward.tensors import check_finite, check_same_event

__all__ = ["QualityCurve", "ReportData"]


@dataclass(frozen=True)
class QualityCurve:
    """The `values` of a `metric` against the number of function `evaluations`, for the solver `name`."""

    name: str
    evaluations: list[int]
    values: list[float]
    metric: str

    def __post_init__(self) -> None:
        """Check that every value has its number of evaluations."""
        if len(self.evaluations) != len(self.values) or not self.values:
            raise InputError(
                f"curve {self.name!r} has {len(self.values)} values for {len(self.evaluations)} numbers of evaluations"
            )


@dataclass(frozen=True)
class ReportData:
    """Everything on the page; sections without data are left out.

    Attributes:
        title: what was done, in a few words.
        summary: short facts `{label: value}`; the first three stand in the header.
        source: `(n, *event)`, or `None`.
        target: `(m, *event)`, finite.
        pushed: `(n, *event)`; rows that are not finite are counted and left out.
        labels: one name (a class) for each row of `pushed`.
        trajectory: `(T, k, *event)`, the states of some rows.
        times: `(T,)`, their times, increasing.
        losses: rows of `metrics.jsonl`: `step`, `loss`, `learning_rate`, ...
        quality: quality against evaluations.
        floors: `{metric: floor}` for the quality curves.
        scores: the table of metrics.
        config: the resolved configuration.
        bibtex: the entries of every method used.
        image_range: values shown as black and white, for image events.
    """

    title: str
    summary: dict[str, str]
    source: Tensor | None
    target: Tensor
    pushed: Tensor
    labels: list[str] | None = None
    trajectory: Tensor | None = None
    times: Tensor | None = None
    losses: list[dict[str, float]] = field(default_factory=list)
    quality: list[QualityCurve] = field(default_factory=list)
    floors: dict[str, float] = field(default_factory=dict)
    scores: list[Score] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    bibtex: str = ""
    image_range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        """Check that the pieces fit together."""
        check_finite("target", self.target)
        event = self.target.shape[1:]
        if self.source is not None:
            check_same_event("source", self.source.shape[1:], "target", event)
        check_same_event("pushed", self.pushed.shape[1:], "target", event)
        if self.labels is not None and len(self.labels) != self.pushed.shape[0]:
            raise InputError(f"labels has {len(self.labels)} entries for {self.pushed.shape[0]} pushed rows")
        if (self.trajectory is None) != (self.times is None):
            raise InputError("trajectory and times are given together")
        if self.trajectory is not None and self.times is not None:
            self._check_trajectory(self.trajectory, self.times)

    def _check_trajectory(self, trajectory: Tensor, times: Tensor) -> None:
        check_same_event("trajectory", trajectory.shape[2:], "target", self.target.shape[1:])
        if times.shape != trajectory.shape[:1] or not bool((torch.diff(times) > 0).all()):
            raise InputError(f"times must be {trajectory.shape[0]} increasing numbers, one for each state")

    @property
    def is_image(self) -> bool:
        """Whether a row is an image: `(channels, height, width)` with one or three channels."""
        event = self.target.shape[1:]
        return len(event) == 3 and event[0] in (1, 3)
