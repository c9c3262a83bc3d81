"""Adaptive Dormand-Prince 5(4) in which every row may have its own time and step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.errors import ConvergenceWarning
from pushforward.solvers._dormand_prince_table import STAGE_TIMES
from pushforward.solvers._slopes import Slopes
from pushforward.solvers.integrate import Solution
from pushforward.solvers.velocity import Velocity

__all__ = ["Control", "ErrorControl", "integrate_adaptive"]

ErrorControl: TypeAlias = Literal["sample", "batch"]

_ORDER = 5
_BETA = 0.02
_LARGEST_GROWTH, _SMALLEST_FACTOR = 10.0, 0.2
_FIRST_ERROR = 1.0
_STRETCH = 1.01  # times the safety factor below one: else a rejected last step would be tried again unchanged


@dataclass(frozen=True)
class Control:
    """How steps are chosen: absolute and relative tolerance, whose error counts, the step floor, the limit on calls,
    the safety factor.
    """

    atol: float
    rtol: float
    error_control: ErrorControl
    min_step: float
    max_evaluations: int
    safety: float = 0.9


@dataclass
class _Rows:
    """The rows under way: their numbers in the batch, state `(R, n)`, and per row `(R,)` the time, the next step's
    length, the error of the last accepted step, whether the last attempt was rejected, and how many steps were
    forced.
    """

    index: Tensor
    x: Tensor
    time: Tensor
    size: Tensor
    error: Tensor
    rejected: Tensor
    forced: Tensor

    def take(self, keep: Tensor) -> _Rows:
        return _Rows(*(getattr(self, f.name)[keep] for f in fields(self)))


def integrate_adaptive(
    velocity: Velocity, x: Tensor, start: float, end: float, control: Control, nodes: Tensor | None = None
) -> Solution:
    """Integrate `x: (B, *event)` from `start` to `end` (either direction) and return the state at the end and at
    `nodes: (T,)`.

    With `error_control="sample"` each row has its own time, step and error norm, and leaves the batch as soon as it
    arrives; its result does not depend on its mates beyond the rounding of batched arithmetic. With `"batch"` all rows
    share one step, chosen by the root mean square error of the whole batch, as in SciPy and torchdiffeq. What is left
    before the end is halved when it takes between one step and two, so that no last step is wastefully short. Warns
    (`ConvergenceWarning`) if steps were forced at the floor or `max_evaluations` was met.
    """
    run = _Run(velocity, x, start, end, control, nodes)
    while run.rows.index.numel() and velocity.calls + len(STAGE_TIMES) <= run.limit:
        run.attempt()
    return run.solution()


class _Run:
    """One integration: the rows under way, those that have left, and the points of the path met so far."""

    def __init__(
        self, velocity: Velocity, x: Tensor, start: float, end: float, control: Control, nodes: Tensor | None
    ) -> None:
        self.velocity, self.control, self.event = velocity, control, x.shape[1:]
        self.x0, self.start, self.end = x, start, end
        self.direction = 1.0 if end > start else -1.0
        self.first_call, self.limit = velocity.calls, velocity.calls + control.max_evaluations
        self.nodes = nodes
        # half-precision clocks would lose short steps
        precise = torch.promote_types(x.dtype, torch.float32)
        self._inner = None if nodes is None else nodes.to(x.device, precise)
        self._left: list[tuple[_Rows, Tensor]] = []
        self._points: list[tuple[Tensor, Tensor]] = []
        flat = x.flatten(1)
        self.slopes = Slopes(flat)
        self.times = flat.new_tensor(STAGE_TIMES[:4], dtype=precise)[:, None]
        self.rows = self._begin(flat, torch.full((len(flat),), start, dtype=precise, device=x.device))

    def _slope(self, x: Tensor, t: Tensor) -> Tensor:
        return self.velocity(x.unflatten(1, self.event), t).flatten(1)

    def _norm(self, ratio: Tensor) -> Tensor:
        """Root mean square over each row, `(R,)`; over the whole batch, repeated, if it shares one step."""
        norm = torch.linalg.vector_norm(ratio, dim=1).to(self.times.dtype) / ratio.shape[1] ** 0.5
        return norm if self.control.error_control == "sample" else norm.square().mean().sqrt().expand(len(norm))

    # -- the first step ----------------------------------------

    def _begin(self, x: Tensor, time: Tensor) -> _Rows:
        slope = self._slope(x, time)
        with torch.no_grad():
            size = self._first_size(x, slope, time)
        zeros = torch.zeros_like(time, dtype=torch.long)
        self.slopes.put(0, slope)
        return _Rows(
            torch.arange(len(x), device=x.device), x, time, size, torch.full_like(time, _FIRST_ERROR), zeros > 0, zeros
        )

    def _first_size(self, x: Tensor, slope: Tensor, time: Tensor) -> Tensor:
        """Return a first step whose error is about 0.01 of the tolerance (Hairer, Norsett and Wanner, section II.4)."""
        scale = self.control.atol + self.control.rtol * x.abs()
        d0, d1 = self._norm(x / scale), self._norm(slope / scale)
        span = (self.end - time).abs()
        trial = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1).minimum(span)
        ahead = self._slope(
            torch.addcmul(x, slope, self._column(self.direction * trial)), time + self.direction * trial
        )
        largest = d1.maximum(self._norm((ahead - slope) / scale) / trial)
        size = torch.where(largest <= 1e-15, (trial * 1e-3).clamp_min(1e-6), (0.01 / largest) ** (1 / _ORDER))
        return torch.minimum(100 * trial, size).nan_to_num(nan=0.0).minimum(span)

    def _column(self, h: Tensor) -> Tensor:
        return h.to(self.x0.dtype).unsqueeze(1)

    # -- one attempt ----------------------------------------

    def attempt(self) -> None:
        """Try one step of every row, keep what passes, and let go of the rows that arrived."""
        rows = self.rows
        with torch.no_grad():
            left = (self.end - rows.time).abs()
            size = rows.size.clamp_min(self.control.min_step)
            last = size * _STRETCH >= left
            size = torch.where(last, left, size.minimum(left / 2).clamp_min(self.control.min_step))
            arrival = torch.where(last, self.end, torch.add(rows.time, size, alpha=self.direction))
            h = self._column(self.direction * size)
        x = self._stages(rows, h, size, arrival)
        with torch.no_grad():
            error = self._error(rows.x, x, h)
            floor, broken = size <= self.control.min_step, ~error.isfinite()
            forced = floor & (broken | (error > 1))
            accept = (error <= 1) | floor
            done = accept & (last | broken)
            flags = torch.stack((accept.all(), done.any())).tolist()  # the one wait for the device in a step
        if self._inner is not None:
            self._record(rows, h, size, accept, arrival)
        self._accept(rows, x, arrival, accept, all_accepted=flags[0])
        self._adapt(rows, size, error, accept, forced)
        if flags[1]:
            self._release(done)

    def _stages(self, rows: _Rows, h: Tensor, size: Tensor, arrival: Tensor) -> Tensor:
        """Evaluate the six new slopes; return the fifth-order result."""
        times = [*torch.addcmul(rows.time, self.times, size, value=self.direction), arrival, arrival]
        x = rows.x
        for number, time in enumerate(times):
            x = torch.addcmul(rows.x, h, self.slopes.stage(number))
            self.slopes.put(number + 1, self._slope(x, time))
        return x

    def _error(self, x: Tensor, y: Tensor, h: Tensor) -> Tensor:
        scale = torch.maximum(x.abs(), y.abs()).mul_(self.control.rtol).add_(self.control.atol)
        return self._norm(self.slopes.error().div_(scale).mul_(h))

    def _accept(self, rows: _Rows, x: Tensor, arrival: Tensor, accept: Tensor, *, all_accepted: bool) -> None:
        column = None if all_accepted else accept.unsqueeze(1)
        rows.x = x if column is None else torch.where(column, x, rows.x)
        self.slopes.shift(column)
        rows.time = torch.where(accept, arrival, rows.time)

    @torch.no_grad()
    def _adapt(self, rows: _Rows, size: Tensor, error: Tensor, accept: Tensor, forced: Tensor) -> None:
        """Choose the next step by Hairer's proportional-integral rule: `safety error^-(1/5 - 3 beta/4)
        last_error^beta`.
        """
        error = error.nan_to_num(nan=float("inf")).clamp_min(1e-10)
        grown = self.control.safety * error ** (0.75 * _BETA - 1 / _ORDER)
        factor = torch.where(
            accept,
            (grown * rows.error**_BETA).clamp(_SMALLEST_FACTOR, _LARGEST_GROWTH),
            grown.clamp(_SMALLEST_FACTOR, 1.0),
        )
        factor = torch.where(rows.rejected, factor.clamp_max(1.0), factor)
        rows.size = size * factor
        rows.error = torch.where(accept, error.clamp_min(1e-4), rows.error)
        rows.rejected = ~accept
        rows.forced = rows.forced + forced

    def _release(self, done: Tensor) -> None:
        self._leave(self.rows.take(done.nonzero().squeeze(1)))
        keep = (~done).nonzero().squeeze(1)
        self.rows = self.rows.take(keep)
        self.velocity.keep(keep)
        self.slopes.take(keep)

    def _leave(self, rows: _Rows) -> None:
        if len(rows.index):
            self._left.append((rows, torch.full_like(rows.index, self.velocity.calls - self.first_call)))

    # -- what comes out ----------------------------------------

    def _record(self, rows: _Rows, h: Tensor, size: Tensor, accept: Tensor, arrival: Tensor) -> None:
        """Evaluate the interpolant at the nodes that the accepted steps passed over."""
        nodes = self._inner
        assert nodes is not None
        ahead = self.direction * (nodes.unsqueeze(1) - rows.time)
        passed = (ahead > 0) & (self.direction * (nodes.unsqueeze(1) - arrival) <= 0) & accept
        node, row = passed.nonzero().unbind(1)
        if len(node):
            fraction = (ahead[node, row] / size[row]).to(h.dtype)
            values = torch.addcmul(rows.x[row], h[row], self.slopes.dense(row, fraction))
            self._points.append((node * len(self.x0) + rows.index[row], values))

    def solution(self) -> Solution:
        """Put every row back in its place, and warn of what was forced or left undone."""
        self._leave(self.rows)
        order = torch.cat([rows.index for rows, _ in self._left]).argsort()
        gather = lambda parts: torch.cat(parts)[order]  # noqa: E731
        x = gather([rows.x for rows, _ in self._left]).unflatten(1, self.event)
        forced, reached = gather([rows.forced for rows, _ in self._left]), gather([rows.time for rows, _ in self._left])
        calls = gather([count for _, count in self._left])
        nodes = torch.tensor([self.start, self.end], dtype=torch.float64) if self.nodes is None else self.nodes
        converged = self._report(forced, reached)
        path = None if self.nodes is None else self._path(self.nodes, x)
        return Solution(x, self.velocity.calls - self.first_call, nodes, path, calls, forced, reached, converged)

    def _path(self, nodes: Tensor, x: Tensor) -> Tensor:
        """Return `(T, B, *event)`: the start and the end themselves, and in between the interpolated points, NaN where
        a row never came.
        """
        path = x.new_full((len(nodes) * len(x), x[0].numel()), torch.nan)
        for where, values in self._points:
            path = path.index_copy(0, where, values)
        path = path.view(len(nodes), *x.shape)
        ends = {self.start: self.x0, self.end: x}
        return torch.stack([ends.get(time, point) for time, point in zip(nodes.tolist(), path, strict=True)])

    def _report(self, forced: Tensor, reached: Tensor) -> bool:
        rows, steps = int((forced > 0).sum()), int(forced.sum())
        short = int((reached != self.end).sum())
        if rows:
            warnings.warn(
                f"Dormand-Prince took {steps} steps in {rows} of {len(forced)} rows at the step floor "
                f"{self.control.min_step:g} with more than the tolerated error: the field is too steep there, "
                f"raise the tolerance or stop short of t = {self.end:g}",
                ConvergenceWarning,
                stacklevel=4,
            )
        if short:
            furthest = float((reached - self.end).abs().max())
            warnings.warn(
                f"Dormand-Prince met max_evaluations={self.control.max_evaluations} with {short} of {len(reached)} "
                f"rows still up to {furthest:g} from t = {self.end:g}: their state is that of the time they reached; "
                "raise max_evaluations or the tolerance",
                ConvergenceWarning,
                stacklevel=4,
            )
        return not (rows or short)
