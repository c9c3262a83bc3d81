"""A transport between any two of several distributions, learned once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.maps.flow import FlowTransport
from pushforward.maps.frame import Frame
from pushforward.maps.route_field import RouteField, cheapest_route
from pushforward.maps.store import save_transport
from pushforward.maps.transport import Transport
from pushforward.networks.vertices import VertexField
from pushforward.paths import Route
from pushforward.solvers import DormandPrince, Solver

__all__ = ["MultimarginalTransport"]


class MultimarginalTransport(nn.Module, Recorded, Transport):
    """Moves points between any two of K + 1 marginals, along any route through their simplex.

    `between` gives an ordinary flow; `push` is the straight one from the first marginal to the last. `noise` is the
    number of a marginal that is N(0, I), if any.
    """

    def __init__(
        self, field: VertexField, frames: Sequence[Frame], solver: Solver | None = None, noise: int | None = None
    ) -> None:
        """Hold the trained field and the frame of every marginal."""
        super().__init__()
        self.field, self.frames = field, nn.ModuleList(frames)
        self.solver, self.noise = solver or DormandPrince(), noise
        self.event_shape = field.event_shape

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return self._frame(0).scale.device

    def between(self, start: int = 0, end: int = -1, *, route: Route | None = None) -> FlowTransport:
        """Return the flow from marginal `start` to marginal `end`, straight along their edge or by a `route` of their
        own: it pushes, pulls, samples and saves as every flow. Raises `InputError` for marginals that are not there.
        """
        first, last = (self._number(k) for k in (start, end))
        if first == last:
            raise InputError(f"a flow runs between two different marginals, got {start} and {end}")
        field = RouteField(self.field, route or Route.edge(first, last, len(self.frames)), self.noise)
        return FlowTransport(field, self.solver, None, self._frame(first), self._frame(last)).eval()  # type: ignore[arg-type]

    def cheapest(
        self,
        start: int,
        end: int,
        points: Sequence[Tensor],
        *,
        steps: int = 300,
        generator: torch.Generator | None = None,
    ) -> Route:
        """Return the route between two marginals that costs the least, found on `points`, samples `(n, *event)` of all
        the marginals in order.
        """  # fmt: skip
        ends = torch.stack([self._frame(k).enter(x) for k, x in enumerate(points)], 1).to(self.device)
        return cheapest_route(
            self.field, self._number(start), self._number(end), ends, steps=steps, generator=generator
        )

    @torch.no_grad()
    def correspond(self, x: Tensor, marginal: int) -> Tensor:
        """Push points `x: (n, *event)` of one marginal to all: `(K + 1, n, *event)`, themselves at their own place."""
        here = self._number(marginal)
        return torch.stack([x if k == here else self.between(here, k).push(x) for k in range(len(self.frames))])

    def push(self, x: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry points of the first marginal to the last: `(n, *event)`."""
        return self.between().push(x, condition, generator=generator)

    def pull(self, y: Tensor, condition: object = None, *, generator: torch.Generator | None = None) -> Tensor:
        """Carry points of the last marginal back to the first."""
        return self.between().pull(y, condition, generator=generator)

    def save(self, directory: str | Path) -> Path:
        """Write `transport.json` and `weights.safetensors` to `directory`."""
        return save_transport(self, directory)

    def _frame(self, number: int) -> Frame:
        frame = self.frames[number]
        assert isinstance(frame, Frame)
        return frame

    def _number(self, marginal: int) -> int:
        if not -len(self.frames) <= marginal < len(self.frames):
            raise InputError(f"there is no marginal {marginal}: they are 0 to {len(self.frames) - 1}")
        return marginal % len(self.frames)
