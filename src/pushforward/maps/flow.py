"""A transport along a learned velocity field: push, pull and exact densities by solving one differential equation."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema, condition_to, encode
from pushforward.configuration import Recorded
from pushforward.ends import Chained
from pushforward.errors import InputError
from pushforward.maps.frame import Frame
from pushforward.maps.labels import Labels, read_labels
from pushforward.maps.side import Side
from pushforward.maps.start import Start
from pushforward.maps.store import save_transport
from pushforward.maps.transport import Transport
from pushforward.measures import Measure, Samples
from pushforward.networks import GUIDANCE, Field
from pushforward.observations import Observation
from pushforward.solvers import DormandPrince, FixedStep, Solution, Solver, StepCosts, choose_solver, log_density
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
        starts_from: Observation | None = None,
    ) -> None:
        """Hold a trained field, the default solver, the source measure where it is known in closed form, and the two
        frames.

        `names` are the features' names in the target, used when results are written to a table; `starts_from`
        is the observation that the flow starts from, where it does not start from source points alone.
        """
        super().__init__()
        self.field = field
        self.solver = solver or DormandPrince()
        self.source = source
        self.source_frame = source_frame or Frame(field.event_shape)
        self.target_frame = target_frame or Frame(field.event_shape)
        self.names = names
        self.starts_from = starts_from
        self.event_shape = field.event_shape

    @property
    def schema(self) -> Schema:
        """What its conditions mean."""
        return self.field.schema

    @property
    def target_columns(self) -> tuple[str, ...]:
        """Conditions but for those that are observed of the target itself, and those that mean something unsaid."""
        made = {} if self.starts_from is None else self.starts_from.schema({}, self.event_shape)
        return tuple(name for name, column in self.schema.items() if name not in made and column.default is None)

    def observed(self, target: Samples, *, generator: torch.Generator | None = None) -> dict[str, np.ndarray] | None:
        """Return what rows of the target are conditioned on, with what is observed of them."""
        if self.starts_from is not None:
            target = replace(
                target, condition=self.starts_from.observe(target.x, target.condition, generator=generator)
            )
        return super().observed(target)

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """The units of the source and of the target."""
        return self.source_frame, self.target_frame

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
        begin: Start | float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Carry source points `x: (n, *event)` to the target.

        `begin` leaves out the times before it: a `Start`, or the time of one from the target's moments. `guidance`
        above one sharpens the effect of the condition (classifier-free guidance; the field must have been trained with
        condition dropout); `MixtureSDE` and `MixtureODE` have a scale of their own, from 0 up to 1. Raises `InputError`
        for bad points, conditions or options.
        """
        solver = choose_solver(self.solver, steps=steps, grid=grid, tolerance=tolerance, method=method)
        return self.solve(x, condition, solver=solver, guidance=guidance, begin=begin, generator=generator).x

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
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Carry target points `y: (n, *event)` back to the source: the inverse of `push` to the solver's accuracy.

        With a stochastic method each point goes to one of the source points that it may have come from, drawn from
        `generator`.
        """
        y, rows = self._checked(y, condition)
        source, target = self._source_side, self._sides[1]
        solver = choose_solver(self.solver, steps=steps, grid=grid, tolerance=tolerance, method=method)
        state = target.enter(y, rows)
        start = solver.solve(self.field, state, condition=rows, start=1.0, end=0.0, generator=generator).x
        return source.leave(start, rows)

    @torch.no_grad()
    def label(self, y: Tensor, *, steps: int = 1, draws: int = 1, generator: torch.Generator | None = None) -> Labels:
        """Read the labels off target points `y: (n, *event)` by `steps` Euler steps back from t = 1, on average over
        `draws` noises: a symmetric flow as classifier or for segmentation.

        One step gives the mean of the label given the point; of more steps the result depends on the noise. Raises
        `InputError` for a flow without labels.
        """
        y, rows = self._checked(y, {})
        solver = FixedStep("euler", steps)
        return read_labels(
            self.field,
            self.target_frame.enter(y.to(self.device)),
            rows,
            solver=solver,
            draws=draws,
            generator=generator,
        )

    def solve(
        self,
        x: Tensor,
        condition: object = None,
        *,
        solver: Solver | None = None,
        nodes: Tensor | None = None,
        guidance: float = 1.0,
        begin: Start | float | None = None,
        generator: torch.Generator | None = None,
    ) -> Solution:
        """Push `x` and return everything the solver knows: the end points, the number of evaluations, and the path at
        `nodes`, which start at the time of `begin` if that is given.

        The path is in the target's units at t = 1, in the source's at t = 0, and in the straight blend of the two
        between.
        """
        x, rows = self._checked(x, condition)
        source, target = self._source_side, self._sides[1]
        field, solver = self.field, solver or self.solver
        if GUIDANCE in self.schema and guidance != 1.0:  # the network is told
            assert rows is not None
            rows = rows | {GUIDANCE: torch.full_like(rows[GUIDANCE], guidance)}
        elif guidance != 1.0:
            self._check_told()
            field, solver = solver.guided(field, guidance)
        begin = Start(begin) if isinstance(begin, float | int) else begin
        if begin is None:
            first, state = 0.0, source.enter(x, rows)
        else:
            first, state = begin.time, begin.state(self.field.path, self.source_frame.normalise(x), self.target_frame)
        solution = solver.solve(field, state, condition=rows, start=first, nodes=nodes, generator=generator)
        return replace(solution, x=target.leave(solution.x, rows), path=self._blend(solution, rows))

    @torch.no_grad()
    def step_costs(self, x: Tensor, condition: object = None, *, fine: int = 100) -> StepCosts:
        """Return what Euler steps of any length cost along fine paths from source points `x: (n, *event)`, of `fine`
        evaluations each: from which the best grid of every number of steps follows, `step_costs(x).rule(4)`.
        """
        x, rows = self._checked(x, condition)
        return StepCosts.of(self.field, self._source_side.enter(x, rows), rows, fine=fine)

    def with_solver(self, solver: Solver) -> FlowTransport:
        """Return a copy of this transport that solves by another method unless told otherwise."""
        copy = deepcopy(self)
        copy.amend(solver=solver)
        return copy

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
        y, rows = self._checked(y, condition)
        side0, side1 = self._source_side, self._sides[1]

        def log_prob0(state: Tensor) -> Tensor:
            x = side0.leave(state, rows)
            return source.log_prob(x) - side0.log_volume(x, rows)

        density = log_density(
            self.field, side1.enter(y, rows), log_prob0, solver=solver or self.solver, condition=rows, probes=probes,
            generator=generator,
        )  # fmt: skip
        return density.log_prob + side1.log_volume(y.to(self.device), rows).to(density.log_prob)

    def save(self, directory: str | Path) -> Path:
        """Write `transport.json` and `weights.safetensors` to `directory`."""
        return save_transport(self, directory)

    @property
    def _sides(self) -> tuple[Side, Side]:
        """The source and the target: each with its units and with what becomes of points there, in the space where
        they are paired and by the path.
        """
        path, space = self.field.path, self.field.path.space
        source, target = Chained(space.source, path.source_end), Chained(space.target, path.target_end)
        return Side(self.source_frame, source), Side(self.target_frame, target)

    @property
    def _source_side(self) -> Side:
        """The source, from the points that a user pushes: what is observed of the target enters on the way."""
        side = self._sides[0]
        return side if self.starts_from is None else replace(side, end=Chained(self.starts_from, side.end))

    def _check_told(self) -> None:
        if self.schema and not self.field.path.told(self.schema):
            raise InputError("guidance has no effect: the network of this flow is told no condition")

    def _checked(self, x: Tensor, condition: object) -> tuple[Tensor, Condition | None]:
        """Check points and condition at the boundary; the condition comes back encoded, in the network's units."""
        x = as_samples("x", x)
        check_same_event("x", x.shape[1:], "the transport", self.event_shape)
        if condition is None and self.field.schema:
            names = ", ".join(self.field.schema)
            raise InputError(
                f"this transport needs a condition ({names}); condition={{}} stands for none, if it learnt that"
            )
        rows = condition_to(encode(condition, self.field.schema, x.shape[0]), self.device)
        if self.starts_from is not None:
            rows = self.starts_from.framed(
                rows, self.target_frame.normalise, x.to(self.device, self.source_frame.scale.dtype)
            )
        return x, self.field.path.space.condition(rows, self.target_frame.normalise)

    def _blend(self, solution: Solution, rows: Condition | None) -> Tensor | None:
        """Return the path in the units of the source at t = 0, in those of the target at t = 1, blended between."""
        if solution.path is None or solution.nodes is None:
            return None
        source, target = (torch.stack([side.leave(state, rows) for state in solution.path]) for side in self._sides)
        t = solution.nodes.to(solution.path).reshape(-1, *([1] * (source.ndim - 1)))
        return torch.lerp(source, target, t)
