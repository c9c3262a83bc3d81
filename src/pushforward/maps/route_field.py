"""A field of several marginals along a route through their simplex: an ordinary velocity field, and what it costs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.networks.vertices import Vertices, bcast_weights
from pushforward.paths import Affine, Route, follow_route
from pushforward.tensors import bcast

__all__ = ["RouteField", "cheapest_route", "transport_cost"]

LEAST_NOISE = 1e-2
"""Scores are evaluated where the weight of the noise is at least this."""

STARTS, SLOW = (0.01, 0.4), 1 / (2 * math.pi)
"""How much of the marginals off the edge a route has at first when the cheapest is sought, and the second harmonic that
lets its ends leave and arrive at rest: while the others come in at full speed, little changes.
"""


class RouteField(Recorded, nn.Module):
    """The velocity `b(t, x) = sum_k alpha'_k(t) g_k(alpha(t), x)` along a route, whose flow carries the law of
    `x(alpha(0))` to that of `x(alpha(t))`.

    Where marginal number `noise` is N(0, I) and independent of the others, the score is `-g_noise / alpha_noise`, and
    stochastic solvers may be used.
    """

    def __init__(self, field: nn.Module, route: Route, noise: int | None = None) -> None:
        super().__init__()
        self.field, self.route, self.noise = field, route, noise
        self.event_shape: tuple[int, ...] = field.event_shape  # type: ignore[assignment]
        self.path = Affine()  # its ends are the points themselves
        self.boundaries = self.path.boundaries
        self.schema: Schema = {}

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return dx/dt at `x: (B, *event)`, `t: (B,)`."""
        alpha, d_alpha = self.route(t)
        g = self.field.vertices(x, alpha)  # type: ignore[operator]
        return (bcast_weights(d_alpha, g) * g).sum(1)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the gradient of the log-density. Raises `InputError` where no marginal is known to be N(0, I)."""
        return self.velocity_and_score(x, t)[1]

    def velocity_and_score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Return both from one evaluation of the network."""
        if self.noise is None:
            raise InputError("a score along a route needs a marginal that is N(0, I), and none of these is")
        alpha, d_alpha = self.route(t)
        g = self.field.vertices(x, alpha)  # type: ignore[operator]
        weight = alpha[:, self.noise].clamp(min=LEAST_NOISE)
        return (bcast_weights(d_alpha, g) * g).sum(1), -g[:, self.noise] / bcast(weight, x)


def transport_cost(
    field: Vertices, route: Route, ends: Tensor, *, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Return `integral E |b(t, x(alpha(t)))|^2 dt` along a route and its standard error, from stacked points `ends: (n,
    K + 1, *event)` of all marginals; nothing is integrated, since the states of a flow have the law of `x(alpha)`.
    """
    with torch.no_grad():
        alpha, d_alpha = route(_times(ends, generator))
        costs = _costs(field, alpha, d_alpha, ends)
    return costs.mean(), costs.std() / len(costs) ** 0.5


def cheapest_route(
    field: Vertices,
    start: int,
    end: int,
    ends: Tensor,
    *,
    harmonics: int = 4,
    steps: int = 300,
    batch_size: int = 512,
    rate: float = 0.03,
    generator: torch.Generator | None = None,
) -> Route:
    """Return the route between two marginals of least `transport_cost`, by Adam on the `harmonics` of its sine series,
    from near the edge and from the middle of the simplex, since a little of a third marginal may cost more than none
    and much of it less. It is the edge itself where nothing cheaper was found.

    `ends: (n, K + 1, *event)` are stacked points of all marginals, of which each step takes `batch_size`.
    """
    edge = Route.edge(start, end, ends.shape[1])
    found = [edge]
    for detour in STARTS:
        sines = ends.new_zeros(ends.shape[1], harmonics)
        sines[[k for k in range(len(sines)) if k not in (start, end)], 0] = detour
        sines[start, 1], sines[end, 1] = SLOW, -SLOW
        found.append(_descended(field, edge, sines, ends, steps, batch_size, rate, generator))
    return min(found, key=lambda route: float(transport_cost(field, route, ends, generator=generator)[0]))


def _descended(
    field: Vertices, edge: Route, sines: Tensor, ends: Tensor, steps: int, batch_size: int, rate: float,
    generator: torch.Generator | None,
) -> Route:  # fmt: skip
    first, last = ends.new_tensor(edge.start), ends.new_tensor(edge.end)
    sines.requires_grad_()
    optimizer = torch.optim.Adam([sines], rate)
    for _ in range(steps):
        rows = torch.randint(len(ends), (batch_size,), generator=generator, device=ends.device)
        alpha, d_alpha = follow_route(first, last, sines, _times(ends[rows], generator))
        sines.grad = torch.autograd.grad(_costs(field, alpha, d_alpha, ends[rows]).mean(), sines)[0]
        optimizer.step()
    return Route(edge.start, edge.end, tuple(map(tuple, sines.detach().tolist())))


def _times(ends: Tensor, generator: torch.Generator | None) -> Tensor:
    u = torch.rand(1, generator=generator, dtype=ends.dtype, device=ends.device)
    return (torch.arange(len(ends), dtype=ends.dtype, device=ends.device) + u) / len(ends)


def _costs(field: Vertices, alpha: Tensor, d_alpha: Tensor, ends: Tensor) -> Tensor:
    x = (bcast_weights(alpha, ends) * ends).sum(1)
    g = field.vertices(x, alpha)
    return (bcast_weights(d_alpha, g) * g).sum(1).flatten(1).square().sum(1)
