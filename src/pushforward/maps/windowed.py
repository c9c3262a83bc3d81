"""Windows of time on the way of a trained flow: its pairs inside them, and the flow that becomes straight there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema, take
from pushforward.contracts import Coupling, Pairs, Sides, Times, TrainedField
from pushforward.couplings import Independent
from pushforward.maps.taught import TaughtCoupling
from pushforward.networks import Adapter, ClassifierFree, Field, carried_over, checked_edges
from pushforward.observations import Observation
from pushforward.papers import PERFLOW
from pushforward.paths import Windows
from pushforward.solvers import FixedStep, Solver

__all__ = ["InWindows", "WindowedReflow"]

QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class WindowedReflow(TaughtCoupling):
    """Pair a state at the beginning s of a window of time with the one to which a trained flow carries it at the end e:
    reflow, window by window, without a stored data set.

    The state at s is not on a way of the flow but on the path between data and noise, `x_s = alpha_s x1 + sigma_s x0`,
    which has the same law: so every batch starts from fresh data, and the flow is followed through one window only, by
    `solver`. The flow is the `teacher` of `fit`, or the one that it goes on from (`init`), and stays as it is. `base`
    pairs the ends, as when that flow was trained. Windows lie between `edges` and are drawn equally often. `guidance`
    above one exaggerates the condition, and what is learnt has it baked in; leave it at one, and drop conditions in
    training, to guide the student as its teacher.

    Raises `InputError` for edges that do not increase from 0 to 1, and for a stochastic solver.
    """

    references: ClassVar[tuple[Reference, ...]] = (PERFLOW,)
    edges: tuple[float, ...] = QUARTERS
    solver: Solver = field(default_factory=lambda: FixedStep("midpoint", 4))
    base: Coupling = field(default_factory=Independent)
    guidance: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", checked_edges(self.edges))
        super().__post_init__()

    @property
    def rowwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the base pairs each row on its own."""
        return self.base.rowwise

    @property
    def starts_from(self) -> Observation | None:
        """What the base starts from."""
        return self.base.starts_from

    def schema(self, schema: Schema, event_shape: tuple[int, ...]) -> Schema:
        """Return what the conditions of the base's pairs mean."""
        return self.base.schema(schema, event_shape)

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Self:
        """Return this coupling with its teacher, its base prepared. Raises `InputError` where there is no teacher."""
        ready = super().prepared(sides, generator=generator)
        object.__setattr__(ready, "base", self.base.prepared(sides, generator=generator))
        return ready

    @torch.no_grad()
    def __call__(
        self,
        x0: Tensor,
        x1: Tensor,
        condition: Condition | None = None,
        *,
        gaussian_source: bool = False,
        generator: torch.Generator | None = None,
    ) -> Pairs:
        """Return the pairs of states, with the ends of their windows. Raises `InputError` before `prepared`."""
        teacher = self.teacher
        pairs = self.base(x0, x1, condition, gaussian_source=gaussian_source, generator=generator)
        device = "cpu" if generator is None else generator.device
        order = torch.randperm(len(pairs), generator=generator, device=device)
        number = order.to(pairs.x1.device) % (len(self.edges) - 1)
        edges = pairs.x1.new_tensor(self.edges)
        s = edges[number]
        begin = teacher.path.point(pairs, Times(s, s, torch.zeros_like(s)), generator=generator).x
        end = self._carried(teacher, begin, number, pairs.condition)
        return replace(pairs, x0=begin, x1=end, gaussian_source=False, s=s, e=edges[number + 1])

    def _carried(self, teacher: TrainedField, begin: Tensor, number: Tensor, condition: Condition | None) -> Tensor:
        """Return where the flow carries each row by the end of its window."""
        guided = teacher if self.guidance == 1 else ClassifierFree(teacher, self.guidance)
        end = begin.clone()
        for window in range(len(self.edges) - 1):
            rows = (number == window).nonzero().flatten()
            if len(rows):
                start, stop = self.edges[window : window + 2]
                told = take(condition, rows)
                end[rows] = self.solver.solve(guided, begin[rows], condition=told, start=start, end=stop).x
        return end


@dataclass(frozen=True)
class InWindows(Adapter):
    """Train a flow further to be straight in each window between `edges`: its network and its weights, which are told
    the window unless `tells_window` is false, on the path `Windows`.

    Give it to `fit` as the `adapter`, with the trained flow as `init` and the coupling `WindowedReflow` of the same
    edges. Untold, the network has to turn at the edges by itself, which it is too smooth for.
    """

    references: ClassVar[tuple[Reference, ...]] = (PERFLOW,)
    edges: tuple[float, ...] = QUARTERS
    tells_window: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", checked_edges(self.edges))

    def adapted(self, field: Field) -> Field:
        """Return the field, which moves points as it did. Raises `InputError` for a network that was given as a module,
        and for a path that learns, or whose windows do not have its predictions.
        """
        return carried_over(field, Windows(field.path, self.edges, self.tells_window))
