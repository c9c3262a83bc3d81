"""Policies: what to do next, given what was observed last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.maps import FlowTransport

__all__ = ["OBSERVATION", "ActionPolicy", "GenerativePolicy"]

OBSERVATION = "observation"
"""The name of the condition under which a flow of actions is told what was observed."""


class ActionPolicy(Protocol):
    """Anything that acts: a trained policy, or a scripted expert. It sees the last `window` observations."""

    @property
    def window(self) -> int:
        """How many observations it is told."""
        ...

    def plan(self, observations: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the actions to carry out before it is asked again, `(B, k, a)`, given the last observations of each of
        B runs, `(B, window, d)`.
        """
        ...


@dataclass(frozen=True)
class GenerativePolicy:
    """A policy that draws a chunk of actions from a `flow` conditioned on the last `window` observations, carries out
    the first `execute` of them (all, if not given), and then draws anew.

    The flow is any that was fitted to the chunks of `chunks`, with their observations as the condition named
    `observation`: by flow matching, or in one step by a flow map. `steps` are those of its solver, unless its own are
    meant. Raises `InputError` for a flow of something else than chunks `(horizon, a)`, or another condition.
    """

    flow: FlowTransport
    window: int = 2
    execute: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        shape, schema = tuple(self.flow.event_shape), self.flow.schema
        if len(shape) != 2 or set(schema) != {OBSERVATION} or schema[OBSERVATION].width % self.window:
            wanted = f"a flow of chunks (horizon, actions) given {OBSERVATION!r} of {self.window} moments"
            raise InputError(f"a policy needs {wanted}, got one of {shape} given {', '.join(schema) or 'nothing'}")
        if self.execute is not None and not 1 <= self.execute <= shape[0]:
            raise InputError(f"a chunk has {shape[0]} actions: cannot execute {self.execute}")

    def plan(self, observations: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return one chunk for each run."""
        told = {OBSERVATION: observations.flatten(1)}
        chunk = self.flow.sample(len(observations), told, steps=self.steps, generator=generator)
        return chunk[:, : self.execute]
