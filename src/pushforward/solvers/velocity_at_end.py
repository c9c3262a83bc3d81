"""The velocity at the end of a straight path, which is the point itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import VelocityField
from pushforward.errors import InputError
from pushforward.solvers.affine_steps import coefficients, schedule_of
from pushforward.solvers.integrate import Solution
from pushforward.solvers.solver import Solver
from pushforward.solvers.velocity import Velocity

__all__ = ["VelocityAtEnd"]


@dataclass(frozen=True)
class VelocityAtEnd(Solver):
    """Take as the result what the velocity is at the end of the path: `y = v(x, t_end)`, one evaluation.

    On a straight path from N(0, I), `v(x, t) = E[x1 - x0 | x_t = x]`; as t goes to 1 the state is the target point and
    tells nothing of the noise any more, so that `v(x, 1) = x`. Points here are those of the target, and a flow told the
    condition that a point has changes nothing; one that is trained on to obey another condition translates
    (`objectives.Translation`). Runs from 0 to 1; a path that is asked for is straight, to be looked at.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "li2025treft",
            "TReFT: Taming Rectified Flow Models For One-Step Image Translation",
            "Li, Shengqian and Gao, Ming and Liu, Yi and Lin, Zuzeng and Wang, Feng and Dai, Feng",
            2025,
            arxiv="2511.20307",
        ),
    )
    t_end: float = 1 - 1e-3

    def __post_init__(self) -> None:
        if not 0 < self.t_end <= 1:
            raise InputError(f"t_end lies in (0, 1], got {self.t_end}")

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        self._check(velocity.field, start, end)
        y = velocity(x, self.t_end)
        if nodes is None:
            return Solution(y, 1, torch.tensor([0.0, 1.0], dtype=torch.float64))
        return Solution(y, 1, nodes, torch.stack([torch.lerp(x, y, time) for time in nodes.tolist()]))

    def _check(self, field: VelocityField, start: float, end: float) -> None:
        if (start, end) != (0.0, 1.0):
            raise InputError(f"a translation runs from 0 to 1, not from {start:g} to {end:g}: it cannot be inverted")
        slope = float(coefficients(schedule_of(field), self.t_end).d_alpha)
        if abs(slope - 1) > 1e-2:
            raise InputError(f"at the end of this path the velocity is {slope:.3g} times the point: train on CondOT")
