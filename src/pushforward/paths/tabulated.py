"""A schedule given by a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.paths.schedule import Schedule

__all__ = ["Tabulated"]

BISECTIONS = 60


@dataclass(frozen=True)
class Tabulated(Schedule):
    """Cubic interpolation of `alpha`, `sigma` and their derivatives in t, tabulated at the n + 1 Chebyshev nodes
    `t_k = (1 - cos(pi k / n)) / 2`, which lie close together at both ends.

    The derivatives are those of the interpolating cubics, so that states and velocities agree exactly. Tables are kept
    in double precision. `alpha / sigma` must grow. Raises `InputError` for tables of unlike length or fewer than two
    nodes.
    """

    alpha: tuple[float, ...]
    sigma: tuple[float, ...]
    d_alpha: tuple[float, ...]
    d_sigma: tuple[float, ...]

    def __post_init__(self) -> None:
        """Hold the tables as tuples, also when they come from JSON."""
        for name in ("alpha", "sigma", "d_alpha", "d_sigma"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        lengths = {len(self.alpha), len(self.sigma), len(self.d_alpha), len(self.d_sigma)}
        if len(lengths) > 1 or min(lengths) < 2:
            raise InputError(f"Tabulated needs four tables of one length, at least two, got lengths {sorted(lengths)}")

    @staticmethod
    def nodes(n: int) -> Tensor:
        """Return the times of tables with `n + 1` entries, in double precision."""
        return torch.sin(torch.arange(n + 1, dtype=torch.float64) * (math.pi / (2 * n))).square()

    @cached_property
    def _table(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the nodes `(n + 1,)`, and the values and slopes of alpha and sigma there: `(n + 1, 2)`."""
        columns = ((self.alpha, self.sigma), (self.d_alpha, self.d_sigma))
        values, slopes = (torch.tensor(pair, dtype=torch.float64).T.contiguous() for pair in columns)
        return self.nodes(len(self.alpha) - 1), values, slopes

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`; outside [0, 1] the outer cubics go on."""
        nodes, values, slopes = (table.to(t.device) for table in self._table)
        exact = t.double()
        left = (torch.searchsorted(nodes, exact.detach().contiguous(), right=True) - 1).clamp(0, len(nodes) - 2)
        width = (nodes[left + 1] - nodes[left])[..., None]
        u = (exact - nodes[left])[..., None] / width
        rest, rise = 1 - u, values[left + 1] - values[left]
        start, end = width * slopes[left], width * slopes[left + 1]
        # Hermite's cubics, in the form that is exact at both nodes, and their derivatives
        value = rest**2 * ((1 + 2 * u) * values[left] + u * start) + u**2 * (
            (1 + 2 * rest) * values[left + 1] - rest * end
        )
        slope = (6 * u * rest * rise + rest * (rest - 2 * u) * start + u * (u - 2 * rest) * end) / width
        alpha, sigma, d_alpha, d_sigma = torch.cat([value, slope], -1).to(t.dtype).unbind(-1)
        return Coefficients(alpha, sigma, d_alpha, d_sigma)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return the time by bisection, on the angle `arctan(alpha / sigma)`."""
        wanted = torch.atan(rho.double())
        low, high = torch.zeros_like(wanted), torch.ones_like(wanted)
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            c = self(middle)
            below = torch.atan2(c.alpha, c.sigma) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return ((low + high) / 2).to(rho.dtype)
