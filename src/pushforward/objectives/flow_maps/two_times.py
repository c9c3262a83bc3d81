"""What every objective of a field of two times asks for: the network, and the solver of the trained flow."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from pushforward.conditions import check_dropout
from pushforward.networks import Architecture, told_twice
from pushforward.objectives.objective import Objective
from pushforward.solvers import Jump, Solver

__all__ = ["TwoTimeObjective"]


@dataclass(frozen=True)
class TwoTimeObjective(Objective):
    """An objective of the mean velocity `u(x; s, e)`, with the part of the rows whose condition is dropped.

    A network named for the velocity is told a second time (`TwoTime`), and the flow solved by one jump, unless the user
    says otherwise.
    """

    condition_dropout: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_dropout(self.condition_dropout)

    def architecture(self, network: Architecture | nn.Module) -> Architecture | nn.Module:
        """Return the network with a second time; a module of your own has to have one."""
        return told_twice(network)

    def sampler(self) -> Solver:
        """Return one jump."""
        return Jump()
