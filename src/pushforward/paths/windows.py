"""A path made of windows of time: the states of another path at their edges, joined by straight lines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.ends import End
from pushforward.errors import InputError
from pushforward.networks import checked_edges, segment_of
from pushforward.papers import PERFLOW
from pushforward.paths.affine import Affine
from pushforward.paths.segments import Segments
from pushforward.spaces import Space
from pushforward.tensors import bcast

__all__ = ["Windows"]

WINDOW = "window of time"


@dataclass(frozen=True)
class Windows(Path):
    """Join a state of `path` at the beginning s of a window to one at its end e by a straight line: `x_t = x_s + u (x_e
    - x_s)` at the fraction `u = (t - s) / (e - s)` of the window, with velocity `(x_e - x_s) / (e - s)`.

    Pairs are such states, with the ends of their windows (`WindowedReflow`), and training times are fractions of them.
    Solvers stop at the `edges` inside. The flow turns there, and Euler's method asks for the velocity exactly there,
    but a network is continuous in time: so it is told, as one more category, in which window its time lies, unless
    `tells_window` is false. An edge belongs to the window that begins there, 1 to the last.

    A network may predict the velocity, or with an affine `path` the data or the noise, which are then the one value p
    that carries x_s to x_e in one step of that path, `x_e = lambda x_s + eta p`, as DDIM's step does. It stands for the
    velocity of the line, `v = ((lambda - 1) x_s + eta p) / (e - s)` with `x_s = (x_t - u eta p) / (1 - u + u lambda)`,
    and is not the expected data. Noise says nothing of a window that begins with pure noise.
    """

    references: ClassVar[tuple[Reference, ...]] = (PERFLOW,)
    path: Path
    edges: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    tells_window: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", checked_edges(self.edges))
        if isinstance(self.path, nn.Module):
            raise InputError(f"{type(self.path).__name__} learns: its states at the edges of windows would not stay")

    @property
    def boundaries(self) -> tuple[float, ...]:
        """The edges inside."""
        return self.edges[1:-1]

    @property
    def space(self) -> Space:
        """That of the path."""
        return self.path.space

    @property
    def source_end(self) -> End:
        """That of the path."""
        return self.path.source_end

    @property
    def target_end(self) -> End:
        """That of the path."""
        return self.path.target_end

    def told(self, schema: Schema) -> Schema:
        """Return what the path tells, and the window. Raises `InputError` where there is a condition of that name."""
        told = self.path.told(schema)
        if not self.tells_window:
            return told
        if WINDOW in schema:
            raise InputError(f"there is a condition {WINDOW!r} already: give it another name")
        return told | {WINDOW: Column(tuple(range(len(self.edges) - 1)))}

    def wrapped(
        self, network: nn.Module, event_shape: tuple[int, ...], schema: Schema, predicts: tuple[Prediction, ...]
    ) -> nn.Module:
        """Return the network as the path wraps it, told its window. Raises `InputError` for predictions that the
        windows do not have.
        """
        edges = torch.tensor(self.edges, dtype=torch.float64)
        for kind in predicts:
            if not torch.stack(self._step(kind, edges[:-1], edges[1:])).isfinite().all():
                raise InputError(f"the {kind} says nothing of a window that begins with none of the data in it")
        inner = self.path.wrapped(network, event_shape, schema, predicts)
        return _Told(inner, self.boundaries) if self.tells_window else inner

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair at the fraction `times.input` of its window, its time told from the edge where
        the next begins. Raises `InputError` for pairs without the ends of a window.
        """
        point = Segments().point(pairs, times, generator=generator)
        assert pairs.s is not None and pairs.e is not None  # by `Segments`
        return replace(point, t=point.t.minimum(pairs.e.nextafter(pairs.s)))

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity, or the value of another kind that stands for it. Raises `InputError` for a kind that the
        windows do not have.
        """
        return point.v if kind == "velocity" else self._said(point.x0, point.x1, *self._window(point.t), kind)

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn one prediction at `(x, t)` into another. Raises `InputError` for kinds that the windows do not have."""
        if src == dst:
            return value
        s, e = self._window(t)
        keep, gain = (bcast(factor, x) for factor in self._step(src, s, e))
        u = bcast((t - s) / (e - s), x)
        begin = (x - u * gain * value) / (1 - u + u * keep)
        return self._said(begin, keep * begin + gain * value, s, e, dst)

    def _window(self, t: Tensor) -> tuple[Tensor, Tensor]:
        edges, number = t.new_tensor(self.edges), segment_of(t, self.boundaries)
        return edges[number], edges[number + 1]

    def _said(self, begin: Tensor, end: Tensor, s: Tensor, e: Tensor, kind: Prediction) -> Tensor:
        """Return the value of a kind that carries one state to the other."""
        keep, gain = self._step(kind, s, e)
        return (end - bcast(keep, end) * begin) / bcast(gain, end)

    def _step(self, kind: Prediction, s: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Return lambda and eta of the step from s to e."""
        if kind == "velocity":
            return torch.ones_like(s), e - s
        if kind not in ("data", "noise") or not isinstance(self.path, Affine):
            raise InputError(f"windows of {type(self.path).__name__} determine a velocity, not the {kind}")
        now, then = self.path.schedule(s), self.path.schedule(e)
        if kind == "data":
            keep = then.sigma / now.sigma
            return keep, then.alpha - now.alpha * keep
        keep = then.alpha / now.alpha
        return keep, then.sigma - now.sigma * keep


class _Told(nn.Module):
    """A network with the number of the window added to its condition, outside of what a path does to the time."""

    def __init__(self, network: nn.Module, boundaries: tuple[float, ...]) -> None:
        super().__init__()
        self.network, self.boundaries = network, boundaries

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        return self.network(x, t, (condition or {}) | {WINDOW: segment_of(t, self.boundaries)})
