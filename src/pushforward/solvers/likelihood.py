"""Exact or estimated log-density of where a flow takes its source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.solvers.divergence import divergence, rademacher
from pushforward.solvers.grid import Grid
from pushforward.solvers.integrate import integrate
from pushforward.solvers.solver import SDE, Solver
from pushforward.solvers.stochastic_likelihood import DensityAlongPaths
from pushforward.solvers.velocity import Velocity

__all__ = ["Density", "log_density"]

_SIGNS = "hutchinson signs"
"""Entry of the condition that carries each row's random signs, so that solvers that drop rows keep them together."""


@dataclass(frozen=True)
class Density:
    """`log_prob: (B,)` in nats, the source points `x0` that the flow takes to the given ones, and the number of calls
    of the network.

    One call here is a forward pass with its vector-Jacobian products.
    """

    log_prob: Tensor
    x0: Tensor
    evaluations: int
    converged: bool = True


def log_density(
    field: VelocityField,
    y: Tensor,
    log_prob0: Callable[[Tensor], Tensor],
    *,
    solver: Solver,
    condition: Condition | None = None,
    probes: int | None = None,
    paths: int = 1,
    generator: torch.Generator | None = None,
) -> Density:
    """Return the log-density at `y: (B, *event)` of the flow of `field` from the density `log_prob0` at t = 0.

    `log p_1(y) = log p_0(x_0) - integral_0^1 div v(x_t, t) dt`, by integrating the state and its accumulated divergence
    from 1 back to 0 with any ODE solver. The divergence is exact for `probes=None` (as many vector-Jacobian products as
    entries), otherwise Hutchinson's estimate, unbiased, from random signs that stay fixed for the whole solve. With
    grad mode on, gradients flow to `y`, to the parameters of the field and to those of `log_prob0`. Networks should be
    in `eval` mode: dropout has no density.

    With an `SDE` it is an estimate from random paths run backwards from `y`, the mean over `paths` of them: see
    `DensityAlongPaths`; `x0` is where the last of them ends. It follows Euler-Maruyama steps on the solver's grid.

    Raises `InputError` under `torch.inference_mode`.
    """
    if torch.is_inference_mode_enabled():
        raise InputError("the divergence needs derivatives, which torch.inference_mode forbids: use torch.no_grad")
    noise = None if probes is None else rademacher(y, probes, generator=generator)
    if isinstance(solver, SDE):
        velocity, grid = Velocity(field, condition), solver.layout(1.0, 0.0)
        along = DensityAlongPaths(velocity, solver.diffusion, noise, generator=generator)
        return _mean([_along(along, y, grid, log_prob0) for _ in range(paths)])
    carried = condition if noise is None else {**(condition or {}), _SIGNS: noise.transpose(0, 1)}
    state = torch.cat([y.flatten(1), y.new_zeros(len(y), 1)], 1)
    solution = solver.solve(_Augmented(field, y.shape[1:]), state, condition=carried, start=1.0, end=0.0)
    x0, integral = solution.x[:, :-1].reshape(y.shape), solution.x[:, -1]
    return Density(log_prob0(x0) + integral, x0, solution.evaluations, solution.converged)


def _along(along: DensityAlongPaths, y: Tensor, grid: Grid, log_prob0: Callable[[Tensor], Tensor]) -> Density:
    solution = integrate(along, y, grid)
    return Density(log_prob0(solution.x) - along.loss, solution.x, solution.evaluations)


def _mean(densities: list[Density]) -> Density:
    log_prob = torch.stack([density.log_prob for density in densities]).mean(0)
    return Density(log_prob, densities[-1].x0, sum(density.evaluations for density in densities))


class _Augmented:
    """The field of the state `(x, integral of div v)`, flattened to `(B, n + 1)`."""

    def __init__(self, field: VelocityField, event: torch.Size) -> None:
        self.field, self.event = field, event
        self.boundaries: tuple[float, ...] = getattr(field, "boundaries", ())

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        own = dict(condition or {})
        signs = own.pop(_SIGNS, None)
        point = x[:, :-1].unflatten(1, self.event)
        noise = None if signs is None else signs.transpose(0, 1)
        value, trace = divergence(lambda z: self.field.velocity(z, t, own or None), point, noise=noise)
        return torch.cat([value.flatten(1), trace.unsqueeze(1)], 1)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        raise InputError("a density's state has no score")
