"""Exponential integrators for affine paths: the linear part of the flow exactly, the predicted target by steps."""

from __future__ import annotations

from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients
from pushforward.solvers.affine_steps import coefficients, schedule_of, transition
from pushforward.solvers.grid import Grid
from pushforward.solvers.integrate import CountedStepper
from pushforward.solvers.velocity import Velocity

__all__ = ["Exponential", "ExponentialMultistep"]

Table: TypeAlias = dict[float, tuple[float, ...]]
"""The weights of every step, by the time that it starts from: worked out once for all of a grid."""


class Exponential(CountedStepper):
    """The stepper `x_e = alpha_e x1 + sigma_e x0` with the ends of the pair as predicted at `s`: DDIM, first order.

    Exact where the prediction of the target does not change along the flow, whatever the path; on straight paths it is
    Euler's step. Written in the velocity, it is finite at both ends of the path, and runs backwards too.

    Raises `InputError` for a field whose path is not affine.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "song2021denoising",
            "Denoising Diffusion Implicit Models",
            "Song, Jiaming and Meng, Chenlin and Ermon, Stefano",
            2020,
            arxiv="2010.02502",
        ),
    )

    def __init__(self, velocity: Velocity) -> None:
        super().__init__(velocity)
        self.schedule = schedule_of(velocity.field)

    def init(self, x: Tensor, grid: Grid) -> Table:
        """Return the weights of the steps."""
        now, then = _ends_of_steps(coefficients(self.schedule, grid.nodes))
        return _table(grid, *transition(now, then))

    def step(self, x: Tensor, s: float, e: float, state: Table) -> tuple[Tensor, Table]:
        """Advance from `s` to `e`."""
        keep, forward = state[s]
        return torch.add(keep * x, self.velocity(x, s), alpha=forward), state


class ExponentialMultistep(CountedStepper):
    """The second-order multistep method with data prediction, DPM-Solver++(2M), at one evaluation per step.

    `x_e = (sigma_e / sigma_s) x + (alpha_e - alpha_s sigma_e / sigma_s) [(1 + 1/(2q)) D_n - (1/(2q)) D_{n-1}]`, with
    the predicted targets `D` and `q = h_previous / h` in steps `h` of `lambda = log(alpha / sigma)`. The first step,
    and one to an end of the path, where lambda is infinite, is that of `Exponential`.

    Raises `InputError` for a field whose path is not affine.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "lu2022dpm",
            "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models",
            "Lu, Cheng and Zhou, Yuhao and Bao, Fan and Chen, Jianfei and Li, Chongxuan and Zhu, Jun",
            2022,
            arxiv="2211.01095",
        ),
    )

    def __init__(self, velocity: Velocity) -> None:
        super().__init__(velocity)
        self.schedule = schedule_of(velocity.field)

    def init(self, x: Tensor, grid: Grid) -> tuple[Table, Tensor | None]:
        """Return the weights of the steps, and no prediction."""
        now, then = _ends_of_steps(coefficients(self.schedule, grid.nodes))
        h = (then.alpha / then.sigma).log() - (now.alpha / now.sigma).log()
        change = (then.alpha - now.alpha * then.sigma / now.sigma) * h / (2 * h.roll(1))
        change = torch.where(torch.isfinite(h), change, 0.0)
        change[0] = 0.0
        weights = (*transition(now, then), -now.d_sigma / now.delta, now.sigma / now.delta, change)
        return _table(grid, *weights), None

    def step(self, x: Tensor, s: float, e: float, state: tuple[Table, Tensor | None]) -> tuple[Tensor, tuple]:
        """Advance from `s` to `e`."""
        table, before = state
        keep, forward, of_state, of_velocity, change = table[s]
        v = self.velocity(x, s)
        data, onward = torch.add(of_state * x, v, alpha=of_velocity), torch.add(keep * x, v, alpha=forward)
        if before is not None and change:
            onward = torch.add(onward, data - before, alpha=change)
        return onward, (table, data)


def _ends_of_steps(at: Coefficients) -> tuple[Coefficients, Coefficients]:
    return Coefficients(*(c[:-1] for c in at)), Coefficients(*(c[1:] for c in at))


def _table(grid: Grid, *weights: Tensor) -> Table:
    return dict(zip(grid.nodes.tolist()[:-1], zip(*(w.tolist() for w in weights), strict=True), strict=True))
