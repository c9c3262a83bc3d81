"""Sampling a process of learned transitions: one state drawn after another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import TransitionLaw, VelocityField
from pushforward.errors import InputError
from pushforward.networks import CausalTransitions, ClassifierFree
from pushforward.solvers.integrate import Solution
from pushforward.solvers.solver import Solver
from pushforward.solvers.velocity import Velocity

__all__ = ["TransitionSampler"]


@dataclass(frozen=True)
class TransitionSampler(Solver):
    """Draw the states of a process of T steps one after another, each from its law given those before it.

    Needs a network that holds the law of the transitions (`networks.CausalTransitions`), which has its own T; with the
    exact law the last state has the law of the target, at any T. Runs from 0 to 1. States exist at k / T: between them
    a path that is asked for is straight, to be looked at. `evaluations` counts the states drawn.
    """

    references: ClassVar[tuple[Reference, ...]] = CausalTransitions.references
    stochastic: ClassVar[bool] = True

    def _solve(
        self,
        velocity: Velocity,
        x: Tensor,
        start: float,
        end: float,
        nodes: Tensor | None,
        generator: torch.Generator | None,
    ) -> Solution:
        law = _law_of(velocity.field)
        if (start, end) != (0.0, 1.0):
            raise InputError(f"transitions run from t = 0 to 1, not from {start:g} to {end:g}: they cannot be inverted")
        states, memory = [x], None
        for k in range(law.steps):
            state, memory = law.advance(states[-1], k, velocity.condition, memory, generator=generator)
            states.append(state)
        times = torch.linspace(0, 1, law.steps + 1, dtype=torch.float64)
        path = None if nodes is None else _between(torch.stack(states), nodes)
        return Solution(states[-1], law.steps, times if nodes is None else nodes, path)


def _law_of(field: VelocityField) -> TransitionLaw:
    if isinstance(field, ClassifierFree):
        raise InputError("the next state is drawn from a law, for which there is no guidance: leave it out")
    law = getattr(field, "network", field)
    if not isinstance(law, TransitionLaw):
        raise InputError(
            f"{type(law).__name__} does not hold the law of transitions: fit with --network CausalTransitions"
        )
    return law


def _between(states: Tensor, nodes: Tensor) -> Tensor:
    """Return the states `(T + 1, B, *event)` at times in [0, 1], straight between those that there are."""
    place = nodes.to(states.device) * (len(states) - 1)
    before = place.floor().long().clamp(0, len(states) - 2)
    share = (place - before).to(states.dtype).reshape(-1, *[1] * (states.ndim - 1))
    return torch.lerp(states[before], states[before + 1], share)
