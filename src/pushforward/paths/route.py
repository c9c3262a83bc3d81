"""Routes through a simplex: in which mixture of several marginals a flow is at each time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["Route", "follow_route"]


@dataclass(frozen=True)
class Route:
    """A smooth path of weights `alpha(t)` from `start` to `end`, points of the simplex of K + 1 marginals.

    `alpha = w / sum w` with `w_k = |(1 - t) start_k + t end_k + sum_m sines_km sin(pi m t)|`: straight without `sines`;
    with them it may pass through marginals that neither end has.

    >>> Route.edge(0, 2, 3)(torch.tensor([0.25]))[0]
    tensor([[0.7500, 0.0000, 0.2500]])
    """

    start: tuple[float, ...]
    end: tuple[float, ...]
    sines: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
        object.__setattr__(self, "sines", tuple(tuple(float(value) for value in row) for row in self.sines))
        for weights in (self.start, self.end):
            if min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
                raise InputError(f"a route runs between weights of at least 0 with sum 1, got {weights}")
        if len(self.start) != len(self.end) or (self.sines and len(self.sines) != len(self.end)):
            raise InputError("start, end and sines of a route must be for the same number of marginals")

    @classmethod
    def edge(cls, start: int, end: int, marginals: int) -> Route:
        """Return the straight route between two of the marginals."""
        first, last = (tuple(float(k == vertex) for k in range(marginals)) for vertex in (start, end))
        return cls(first, last)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights and their derivatives at `t: (B,)`, each `(B, K + 1)`."""
        start, end = (torch.tensor(weights, dtype=t.dtype, device=t.device) for weights in (self.start, self.end))
        sines = t.new_tensor(self.sines) if self.sines else t.new_zeros(len(self.start), 1)
        return follow_route(start, end, sines, t)


def follow_route(start: Tensor, end: Tensor, sines: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights and derivatives at `t: (B,)` of the route with these tensors, `sines: (K + 1, M)`: differentiable
    in them.
    """
    angles = math.pi * torch.arange(1, sines.shape[1] + 1, dtype=t.dtype, device=t.device)
    wave, slope = (angles * t[:, None]).sin() @ sines.mT, (angles * (angles * t[:, None]).cos()) @ sines.mT
    signed = torch.lerp(start, end, t[:, None]) + wave
    raw, d_raw = signed.abs(), signed.sign() * (end - start + slope)
    total = raw.sum(1, keepdim=True)
    alpha = raw / total
    return alpha, (d_raw - alpha * d_raw.sum(1, keepdim=True)) / total
