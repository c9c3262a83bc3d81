"""Sampling with the field compiled: fewer, larger kernels for the same numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from pushforward.contracts import VelocityField
from pushforward.solvers.integrate import Solution
from pushforward.solvers.solver import Solver
from pushforward.solvers.velocity import Velocity

__all__ = ["Compiled"]


@dataclass(frozen=True)
class Compiled(Solver):
    """Another `solver`, with every evaluation of the field one compiled unit (`torch.compile`): the network with the
    conversion of what it predicts, and both halves of classifier-free guidance.

    The first call compiles, which takes a while; later ones, of as many rows, go straight on. `backend` and `mode` are
    torch's: `inductor` with `reduce-overhead` replays CUDA graphs. Results are those of the solver to rounding.
    """

    solver: Solver
    backend: str = "inductor"
    mode: str | None = None

    @property
    def stochastic(self) -> bool:  # type: ignore[override]
        """Whether the solver draws."""
        return self.solver.stochastic

    def guided(self, field: VelocityField, guidance: float) -> tuple[VelocityField, Solver]:
        """Return what the solver itself would make of it, compiled."""
        field, solver = self.solver.guided(field, guidance)
        return field, replace(self, solver=solver)

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        field = cast(VelocityField, _CompiledField(velocity.field, self.backend, self.mode))
        own = Velocity(field, velocity.condition)
        return self.solver._solve(own, x, start, end, nodes, generator)


class _CompiledField:
    """A field whose evaluations are compiled; everything else is the field's own."""

    def __init__(self, field: VelocityField, backend: str, mode: str | None) -> None:
        self._field = field
        for name in ("velocity", "score", "velocity_and_score", "mean_velocity", "refined"):
            evaluate = getattr(field, name, None)
            if evaluate is not None:
                setattr(self, name, torch.compile(evaluate, backend=backend, mode=mode))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._field, name)
