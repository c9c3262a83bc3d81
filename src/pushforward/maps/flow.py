"""A transport along a learned velocity field: push, pull and exact densities by solving one differential equation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema, condition_to, encode
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.maps.frame import Frame
from pushforward.maps.store import save_transport
from pushforward.maps.transport import Transport
from pushforward.measures import Measure
from pushforward.networks import ClassifierFree, Field
from pushforward.solvers import DormandPrince, Solution, Solver, choose_solver, log_density
from pushforward.tensors import as_samples, check_same_event

__all__ = ["FlowTransport"]


class FlowTransport(nn.Module, Recorded, Transport):
    """Moves points along `dx/dt = v(x, t)` from the source at t = 0 to the target at t = 1.

    `push` and `pull` solve the equation forwards and backwards; `log_prob` adds the integral of the divergence to the
    source's log-density: `log p1(x1) = log p0(x0) - integral of div v dt` (Chen et al. 2018, Neural ODEs, theorem 1).

    A transport that was trained with conditions needs one; `condition={}` asks for the unconditional flow, which exists
    where conditions were dropped in training.

    Every solving method takes at most one of `steps` (of a fixed-step method), `grid` (the nodes to visit) and
    `tolerance` (of the adaptive method); without any, `solver` is used.
    """

    def __init__(
        self,
        field: Field,
        solver: Solver | None = None,
        source: Measure | None = None,
        source_frame: Frame | None = None,
        target_frame: Frame | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        """Hold a trained field, the default solver, the source measure where it is known in closed form, and the two
        frames.

        `names` are the features' names in the target, used when results are written to a table.
        """
        super().__init__()
        self.field = field
        self.solver = solver or DormandPrince()
        self.source = source
        self.source_frame = source_frame or Frame(field.event_shape)
        self.target_frame = target_frame or Frame(field.event_shape)
        self.names = names
        self.event_shape = field.event_shape

    @property
    def schema(self) -> Schema:
        """What its conditions mean."""
        return self.field.schema

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self.source_frame.scale.device

    @torch.no_grad()
    def push(
        self,
        x: Tensor,
        condition: object = None,
        *,
        steps: int | None = None,
        grid: Tensor | Sequence[float] | None = None,
        tolerance: float | None = None,
        method: str | None = None,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Carry source points `x: (n, *event)` to the target.

        `guidance` above one sharpens the effect of the condition (classifier-free guidance; the field must have been
        trained with condition dropout). Raises `InputError` for bad points, conditions or options.
        """
        solver = choose_solver(self.solver, steps=steps, grid=grid, tolerance=tolerance, method=method)
        return self.solve(x, condition, solver=solver, guidance=guidance, generator=generator).x

    @torch.no_grad()
    def pull(
        self,
        y: Tensor,
        condition: object = None,
        *,
        steps: int | None = None,
        grid: Tensor | Sequence[float] | None = None,
        tolerance: float | None = None,
        method: str | None = None,
    ) -> Tensor:
        """Carry target points `y: (n, *event)` back to the source: the inverse of `push` to the solver's accuracy."""
        y, rows = self._enter(y, condition, self.target_frame)
        solver = choose_solver(self.solver, steps=steps, grid=grid, tolerance=tolerance, method=method)
        start = solver.solve(self.field, y, condition=rows, start=1.0, end=0.0).x
        return self.source_frame.restore(start / self.field.path.source_scale)

    def solve(
        self,
        x: Tensor,
        condition: object = None,
        *,
        solver: Solver | None = None,
        nodes: Tensor | None = None,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Solution:
        """Push `x` and return everything the solver knows: the end points, the number of evaluations, and the path at
        `nodes`.

        The path is in the target's units at t = 1, in the source's at t = 0, and in the straight blend of the two
        between.
        """
        x, rows = self._enter(x, condition, self.source_frame)
        field = self.field if guidance == 1.0 else ClassifierFree(self.field, guidance)
        start = x * self.field.path.source_scale
        solution = (solver or self.solver).solve(field, start, condition=rows, nodes=nodes, generator=generator)
        return self._leave(solution)

    def trajectory(
        self,
        x: Tensor,
        condition: object = None,
        *,
        times: int | Tensor = 11,
        solver: Solver | None = None,
        guidance: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Solution:
        """Push `x` and keep the states at `times`: that many evenly spaced ones, or explicit increasing times from 0 to
        1.

        Returns a `Solution` whose `path` is `(times, n, *event)` and whose `nodes` are the times.
        """
        nodes = torch.linspace(0, 1, times, dtype=torch.float64) if isinstance(times, int) else times
        with torch.no_grad():
            return self.solve(x, condition, solver=solver, nodes=nodes, guidance=guidance, generator=generator)

    def sample(
        self,
        n: int,
        condition: object = None,
        *,
        generator: torch.Generator | None = None,
        steps: int | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """Draw `n` points of the target by pushing fresh points of the source. Raises `InputError` when the source is
        known by samples only.
        """
        if self.source is None:
            raise InputError("the source of this transport is known by its samples only: give points to `push` instead")
        x = self.source.sample(n, generator=generator).to(self.device)
        return self.push(x, condition, steps=steps, guidance=guidance, generator=generator)

    def log_prob(
        self,
        y: Tensor,
        condition: object = None,
        *,
        probes: int | None = None,
        solver: Solver | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Log-density in nats at `y: (n, *event)`: `(n,)`, in the target's units.

        Exact divergence by default; with `probes`, Hutchinson's estimate from that many random vectors, held fixed
        along the path. Gradients flow to `y` and to the parameters when they are asked for. Raises `InputError` when
        the source has no density.
        """
        source = self.source
        if source is None:
            raise InputError("no density: the source of this transport is known by its samples only")
        z, rows = self._enter(y, condition, self.target_frame)

        scale = self.field.path.source_scale

        def log_prob0(x: Tensor) -> Tensor:
            volume = self.source_frame.log_det().to(x) + x[0].numel() * math.log(scale)
            return source.log_prob(self.source_frame.restore(x / scale)) - volume

        density = log_density(
            self.field, z, log_prob0, solver=solver or self.solver, condition=rows, probes=probes, generator=generator
        )
        return density.log_prob + self.target_frame.log_det().to(z)

    def save(self, directory: str | Path) -> Path:
        """Write `transport.json` and `weights.safetensors` to `directory`."""
        return save_transport(self, directory)

    def _enter(self, x: Tensor, condition: object, frame: Frame) -> tuple[Tensor, Condition | None]:
        """Check points and condition at the boundary and bring both to the network's units, dtype and device."""
        x = as_samples("x", x)
        check_same_event("x", x.shape[1:], "the transport", self.event_shape)
        if condition is None and self.field.schema:
            names = ", ".join(self.field.schema)
            raise InputError(
                f"this transport needs a condition ({names}); condition={{}} stands for none, if it learnt that"
            )
        rows = condition_to(encode(condition, self.field.schema, x.shape[0]), self.device)
        return frame.normalise(x.to(self.device, self.source_frame.scale.dtype)), rows

    def _leave(self, solution: Solution) -> Solution:
        blend = None
        if solution.path is not None and solution.nodes is not None:
            t = solution.nodes.to(solution.path).reshape(-1, *([1] * (solution.path.ndim - 1)))
            blend = (1 - t) * self.source_frame.restore(solution.path) + t * self.target_frame.restore(solution.path)
        return replace(solution, x=self.target_frame.restore(solution.x), path=blend)
