"""Solvers as pieces of a configuration: what carries points along a field, and how exactly."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, TypeAlias, cast, get_args

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.errors import InputError, nearest
from pushforward.networks import ClassifierFree
from pushforward.papers import STOCHASTIC_INTERPOLANTS
from pushforward.solvers.diffusion import Diffusion, Vanishing
from pushforward.solvers.dormand_prince import Control, ErrorControl, integrate_adaptive
from pushforward.solvers.exponential import Exponential, ExponentialMultistep
from pushforward.solvers.grid import Explicit, Grid, GridRule, Uniform, check_nodes, refine
from pushforward.solvers.integrate import Solution, Stepper, integrate
from pushforward.solvers.multistep import AdamsBashforth2, PseudoCorrector
from pushforward.solvers.runge_kutta import RungeKutta
from pushforward.solvers.segments import PerSegment, by_segment
from pushforward.solvers.stochastic import EulerMaruyama, StochasticHeun
from pushforward.solvers.velocity import Velocity

__all__ = ["SDE", "DormandPrince", "FixedStep", "GridSolver", "Solver", "choose_solver"]

FixedMethod: TypeAlias = Literal["euler", "midpoint", "heun", "rk4", "ab2", "pseudo-corrector", "ddim", "dpm++2m"]
StochasticMethod: TypeAlias = Literal["euler-maruyama", "stochastic-heun"]
DEFAULT_STEPS = 32

_STEPPERS: dict[str, Callable[[Velocity], Stepper]] = {
    "ab2": AdamsBashforth2,
    "pseudo-corrector": PseudoCorrector,
    "ddim": Exponential,
    "dpm++2m": ExponentialMultistep,
}
"""Every method but those of a tableau."""


class Solver(ABC):
    """Carries points along a field from one time to another."""

    stochastic: ClassVar[bool] = False

    def solve(
        self,
        field: VelocityField,
        x: Tensor,
        *,
        condition: Condition | None = None,
        start: float = 0.0,
        end: float = 1.0,
        nodes: Tensor | Sequence[float] | None = None,
        generator: torch.Generator | None = None,
    ) -> Solution:
        """Carry `x: (B, *event)` from time `start` to time `end`; `end < start` integrates backwards.

        `nodes: (T,)` asks for the states at those times (running from `start` to `end`, either may be left out):
        `Solution.path` is then `(T, B, *event)`. `condition` has one entry per row. `generator` is used by stochastic
        solvers. Gradients flow through when grad mode is on: wrap the call in `torch.no_grad()` when they are not
        needed.

        Raises `InputError` for an empty or integer batch, impossible times, and nodes outside the interval or out of
        order.
        """
        _check_points(x)
        wanted = None if nodes is None else _check_path(nodes, start, end)
        return self._solve(Velocity(field, condition), x, start, end, wanted, generator)

    def guided(self, field: VelocityField, guidance: float) -> tuple[VelocityField, Solver]:
        """Return what solves which field to push further in the direction of the condition: this solver the velocity
        of classifier-free guidance, but for solvers with a guidance of their own.
        """
        return ClassifierFree(field, guidance), self

    @abstractmethod
    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        """Integrate, with checked arguments."""


class GridSolver(Solver):
    """A solver of a number of `steps` on a `grid`, dataclass fields of both names: a user may change either alone."""

    steps: int | None
    grid: GridRule

    def layout(self, start: float, end: float) -> Grid:
        """Return the times that it visits on the way from `start` to `end`, 32 steps if nothing is said."""
        return self.grid(DEFAULT_STEPS if self.steps is None and not self.grid.fixes_steps else self.steps, start, end)

    def __post_init__(self) -> None:
        """Refuse impossible numbers of steps."""
        _check_steps(self.steps, self.grid)

    @abstractmethod
    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps; `generator` is for those that draw."""

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        grid = self.layout(start, end).requiring(velocity.boundaries)
        stepper = self.stepper(velocity, generator)
        return _follow(PerSegment(stepper, velocity) if velocity.boundaries else stepper, x, grid, nodes)


@dataclass(frozen=True)
class FixedStep(GridSolver):
    """A method with a fixed number of steps on a time grid.

    Evaluations per step: `euler`, `ddim` and `dpm++2m` 1, `ab2` and `pseudo-corrector` 1 (2 for the first), `midpoint`
    and `heun` 2, `rk4` 4. `ddim` and `dpm++2m` (second order) need an affine path; on straight paths `ddim` is `euler`.
    `steps` is 32 unless the grid has its own number. Asked for a path, the solver adds the times asked for to its grid
    and stops at each of them.
    """

    method: FixedMethod = "midpoint"
    steps: int | None = None
    grid: GridRule = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        _check_method(self.method, get_args(FixedMethod))
        super().__post_init__()

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        stepper = _STEPPERS.get(self.method)
        return RungeKutta(velocity, self.method) if stepper is None else stepper(velocity)


@dataclass(frozen=True)
class DormandPrince(Solver):
    """Adaptive Dormand-Prince 5(4): takes the steps that `tolerance` needs, and gives the states in between by its
    quartic interpolant.

    `tolerance` bounds the error of a step, `|error| <= tolerance (1 + |x|)`; `absolute` replaces the 1 by a bound of
    its own (`|error| <= absolute + tolerance |x|`). With `error_control="sample"` every row has its own step, so that
    no row slows or changes another; with `"batch"` the root mean square over the whole batch decides. Steps are never
    shorter than `min_step`, and never more than `max_evaluations` calls are made; either limit warns with figures and
    sets `Solution.converged = False`.
    """

    tolerance: float = 1e-5
    error_control: ErrorControl = "sample"
    min_step: float = 1e-6
    max_evaluations: int = 10_000
    absolute: float | None = None

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "dormand1980family",
            "A family of embedded Runge-Kutta formulae",
            "Dormand, J. R. and Prince, P. J.",
            1980,
            venue="Journal of Computational and Applied Mathematics 6(1):19-26",
        ),
        Reference(
            "shampine1986some",
            "Some Practical Runge-Kutta Formulas",
            "Shampine, Lawrence F.",
            1986,
            venue="Mathematics of Computation 46(173):135-150",
        ),
    )

    def __post_init__(self) -> None:
        _check_method(self.error_control, get_args(ErrorControl))
        for name in ("tolerance", "min_step", *(("absolute",) if self.absolute is not None else ())):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be positive, got {value}")
        if self.max_evaluations < 8:
            raise InputError(
                f"max_evaluations must be at least 8 (two to start and six for a step), got {self.max_evaluations}"
            )

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        _check_interval(start, end)
        absolute = self.tolerance if self.absolute is None else self.absolute
        control = Control(absolute, self.tolerance, self.error_control, self.min_step, self.max_evaluations)

        def part(velocity: Velocity, x: Tensor, s: float, e: float, nodes: Tensor | None) -> Solution:
            return integrate_adaptive(velocity, x, s, e, control, nodes)

        return by_segment(part, velocity, x, start, end, nodes)


@dataclass(frozen=True)
class SDE(GridSolver):
    """Stochastic sampling `dx = [v + (eps^2 / 2) score] dt + eps dW`, or backwards in time `dx = [v - (eps^2 / 2)
    score] dt + eps dW`, with the last step deterministic.

    Has the same marginals as the ODE for every `diffusion`, in both directions, but forgets errors of earlier steps.
    The field must know its score. Evaluations per step and drift: one if the field gives velocity and score together,
    otherwise two; `stochastic-heun` takes two drifts per step.
    """

    method: StochasticMethod = "stochastic-heun"
    steps: int | None = None
    diffusion: Diffusion = field(default_factory=Vanishing)
    grid: GridRule = field(default_factory=Uniform)

    stochastic: ClassVar[bool] = True
    references: ClassVar[tuple[Reference, ...]] = (STOCHASTIC_INTERPOLANTS,)

    def __post_init__(self) -> None:
        _check_method(self.method, get_args(StochasticMethod))
        super().__post_init__()

    def stepper(self, velocity: Velocity, generator: torch.Generator | None) -> Stepper:
        """Return what takes the steps."""
        scheme = EulerMaruyama if self.method == "euler-maruyama" else StochasticHeun
        return scheme(velocity, self.diffusion, generator=generator)


def choose_solver(
    default: Solver,
    *,
    steps: int | None = None,
    grid: GridRule | Tensor | Sequence[float] | None = None,
    tolerance: float | None = None,
    method: str | None = None,
) -> Solver:
    """Change a solver by what a user asks for, each thing meaning one thing.

    `steps` is the number of fixed steps; `grid` the nodes to visit, or a rule that lays out the steps; `tolerance` the
    error that adaptive steps may make. They exclude each other, except that a rule without nodes of its own may be
    given the number of `steps`. `method` is one of those of `FixedStep`, `dopri5`, or one of those of `SDE`. What is
    not asked for stays as in `default`, as far as the method has it. Raises `InputError` for requests that exclude each
    other.

    >>> choose_solver(DormandPrince(), steps=8)
    FixedStep(method='midpoint', steps=8, grid=Uniform())
    """
    rule = grid if isinstance(grid, GridRule) or grid is None else Explicit(_times(grid))
    _check_exclusive(steps, rule, tolerance)
    if method is not None:
        _check_method(method, _METHODS)
    if method == "dopri5" and (steps is not None or rule is not None):
        raise InputError("dopri5 chooses its own steps: leave out steps and grid, or give tolerance instead")
    if tolerance is not None and method not in (None, "dopri5"):
        raise InputError(f"{method} takes fixed steps and has no tolerance: give steps, or leave out the method")
    if tolerance is not None or method == "dopri5":
        return _adaptive(default, tolerance)
    return default if method is None and steps is None and rule is None else _on_grid(default, steps, rule, method)


_METHODS = (*get_args(FixedMethod), "dopri5", *get_args(StochasticMethod))


def _check_exclusive(steps: int | None, rule: GridRule | None, tolerance: float | None) -> None:
    nodes = rule is not None and rule.fixes_steps
    given = [
        n
        for n, g in (("steps", steps is not None), ("grid", rule is not None), ("tolerance", tolerance is not None))
        if g
    ]
    if len(given) > 1 and (nodes or tolerance is not None):
        wanted = "give the number of steps, or the nodes to visit, or the tolerance"
        raise InputError(f"{' and '.join(given)} exclude each other: {wanted}")


def _adaptive(default: Solver, tolerance: float | None) -> DormandPrince:
    base = default if isinstance(default, DormandPrince) else DormandPrince()
    return base if tolerance is None else replace(base, tolerance=tolerance)


def _on_grid(default: Solver, steps: int | None, rule: GridRule | None, method: str | None) -> Solver:
    """Build a fixed-step solver from the default's remaining choices; a number of steps replaces the default's listed
    nodes.
    """
    base = default if isinstance(default, GridSolver) else FixedStep()
    rule = rule or (Uniform() if steps is not None and base.grid.fixes_steps else base.grid)
    count = None if rule.fixes_steps else (steps or base.steps)
    _check_steps(steps, rule)
    if method is None:
        return replace(cast(FixedStep, base), steps=count, grid=rule)  # any dataclass with both
    if method in get_args(StochasticMethod):
        diffusion = base.diffusion if isinstance(base, SDE) else Vanishing()
        return SDE(cast(StochasticMethod, method), count, diffusion, rule)
    return FixedStep(cast(FixedMethod, method), count, rule)


def _times(grid: Tensor | Sequence[float]) -> tuple[float, ...]:
    return tuple(check_nodes("grid", grid).tolist())


def _follow(stepper: Stepper, x: Tensor, grid: Grid, nodes: Tensor | None) -> Solution:
    """Integrate along the grid; if a path is wanted, along the grid refined by its nodes, keeping only the states
    there.
    """
    if nodes is None:
        return integrate(stepper, x, grid)
    grid, wanted = refine(grid, nodes)
    met = {0: x}

    def keep(state: Tensor, _time: float, number: int) -> Tensor:
        if number in wanted:
            met[number] = state
        return state

    solution = integrate(stepper, x, grid, hooks=(keep,))
    return Solution(solution.x, solution.evaluations, nodes, torch.stack([met[number] for number in wanted]))


def _check_points(x: Tensor) -> None:
    if x.ndim < 2 or not x.numel():
        raise InputError(f"x has shape {tuple(x.shape)}, wanted (rows, ...) with at least one row and one entry")
    if not x.is_floating_point():
        raise InputError(f"x has dtype {x.dtype}, wanted a floating dtype: convert it with x.float()")


def _check_interval(start: float, end: float) -> None:
    if not (math.isfinite(start) and math.isfinite(end)) or start == end:
        raise InputError(f"start and end must be two different finite times, got start={start}, end={end}")


def _check_path(nodes: Tensor | Sequence[float], start: float, end: float) -> Tensor:
    _check_interval(start, end)
    times = check_nodes("nodes", nodes)
    if len(times) > 1 and (times[-1] > times[0]) != (end > start):
        raise InputError(
            f"nodes run from {float(times[0])} to {float(times[-1])} but the solver from {start} to {end}: "
            "reverse one of them"
        )
    low, high, slack = min(start, end), max(start, end), 1e-6 * abs(end - start)
    if float(times.min()) < low - slack or float(times.max()) > high + slack:
        raise InputError(
            f"nodes must lie in [{low}, {high}], got times from {float(times.min())} to {float(times.max())}"
        )
    ends = torch.tensor([start, end], dtype=times.dtype)
    gap, nearest_end = (times[:, None] - ends).abs().min(1)
    return torch.where(gap <= slack, ends[nearest_end], times)  # float32 times that mean an end are that end


def _check_method(name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise InputError(f"unknown method {name!r}{nearest(name, known)}")


def _check_steps(steps: int | None, grid: GridRule) -> None:
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise InputError(f"steps must be a positive integer, got {steps!r}")
    if steps is not None and grid.fixes_steps and isinstance(grid, Explicit) and steps != len(grid.nodes) - 1:
        raise InputError(f"{steps} steps asked for, but the grid has {len(grid.nodes) - 1}: leave out one of the two")
