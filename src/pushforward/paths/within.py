"""Paths that join other points than those of the data, by a path of their own inside."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pushforward.conditions import Schema
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.ends import End
from pushforward.paths.affine import Affine
from pushforward.paths.conversions import refuse_scores

__all__ = ["Within", "WithoutScores"]


class Within(Path):
    """A path that turns pairs into others (latents, encoded conditions, points beside labels) and joins those by an
    affine `path`: what a subclass does not say is that of the path inside.
    """

    path: Affine

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity is finite."""
        return self.path.interval

    @property
    def source_end(self) -> End:
        """What the path inside makes of its sources."""
        return self.path.source_end

    @property
    def target_end(self) -> End:
        """What the path inside makes of its targets."""
        return self.path.target_end

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network as the path inside wraps it."""
        return self.path.wrapped(network, event_shape, schema, predicts)

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair and its velocity."""
        return self.path.point(pairs, times, generator=generator)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return what is regressed on, of the path inside."""
        return self.path.target(point, kind, gaussian_source=gaussian_source)

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn one prediction at a state into another."""
        return self.path.convert(value, x, t, src, dst, gaussian_source=gaussian_source)

    def derive(
        self, known: Mapping[Prediction, Tensor], x: Tensor, t: Tensor, dst: Prediction, *, gaussian_source: bool
    ) -> Tensor:
        """Turn several predictions at a state into another."""
        return self.path.derive(known, x, t, dst, gaussian_source=gaussian_source)


class WithoutScores(Within):
    """The same where the path inside does not start from N(0, I), whatever the source: scores are refused."""

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return what is regressed on, of the path inside. Raises `InputError` for scores."""
        refuse_scores(type(self).__name__, kind)
        return super().target(point, kind)

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn one prediction at a state into another. Raises `InputError` for scores."""
        refuse_scores(type(self).__name__, src, dst)
        return super().convert(value, x, t, src, dst)

    def derive(
        self, known: Mapping[Prediction, Tensor], x: Tensor, t: Tensor, dst: Prediction, *, gaussian_source: bool
    ) -> Tensor:
        """Turn several predictions at a state into another. Raises `InputError` for scores."""
        refuse_scores(type(self).__name__, dst)
        return super().derive(known, x, t, dst, gaussian_source=False)
