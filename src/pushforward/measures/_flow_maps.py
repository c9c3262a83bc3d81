"""The flow map of an oracle: closed for two Gaussians, quantiles for one-dimensional mixtures, else an accurate
integration.

All three work on pairs of (alpha, sigma) rather than on times, so that they are finite at both ends of every schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.measures._component_pairs import ComponentPairs

__all__ = ["Scales", "gaussian_flow", "integrated_flow", "quantile_flow"]

Scales: TypeAlias = tuple[Tensor, Tensor]
"""`alpha, sigma` of each row, `(B,)` each."""

BISECTIONS = 64  # from any bracket down to the spacing of float64
RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-10, 1e-12


def gaussian_flow(pairs: ComponentPairs, x: Tensor, start: Scales, end: Scales) -> Tensor:
    """Move `x: (B, d)` by the flow between two Gaussians, of which `pairs` is the only pair.

    In the coordinates `y = W (x - m)` the velocity is diagonal, so `y` is stretched by the ratio of its deviations. W
    does not depend on time: this is exact for covariances that do not commute as well.
    """
    located = pairs.locate(x, *start)
    spread = end[0][:, None, None] ** 2 * pairs.ratio + end[1][:, None, None] ** 2
    stretched = located.y * (spread / located.spread).sqrt()
    return (pairs.means(*end) + torch.einsum("kde,bke->bkd", pairs.unwhiten, stretched)).squeeze(1)


def quantile_flow(pairs: ComponentPairs, x: Tensor, start: Scales, end: Scales) -> Tensor:
    """Move `x: (B, 1)` by the flow of one-dimensional mixtures, the monotone map `F_e^-1(F_s(x))`.

    The equation is solved for the logarithm of the smaller tail, so far tails keep their relative accuracy; the last
    step is one of Newton's, which carries the gradients with respect to x and both ends.
    """
    mean_s, std_s = _marginal(pairs, *start)
    mean_e, std_e = _marginal(pairs, *end)
    z = (x - mean_s) / std_s
    side = torch.where(_log_tail(pairs, z) <= _log_tail(pairs, -z), 1.0, -1.0).to(x)
    wanted = _log_tail(pairs, side[:, None] * z)
    with torch.no_grad():
        y = _bisect(pairs, wanted, side, z, mean_e, std_e)
    z_e = (y[:, None] - mean_e) / std_e
    got = _log_tail(pairs, side[:, None] * z_e)
    log_density = (pairs.log_weight - 0.5 * z_e**2 - (std_e * (2 * torch.pi) ** 0.5).log()).logsumexp(1)
    return (y + side * (wanted - got) * (got - log_density).exp().detach())[:, None]


def _marginal(pairs: ComponentPairs, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of every pair: `(B, K)` each."""
    spread = alpha[:, None] ** 2 * pairs.ratio[:, 0] + sigma[:, None] ** 2
    return pairs.means(alpha, sigma)[:, :, 0], spread.sqrt() * pairs.unwhiten[:, 0, 0].abs()


def _log_tail(pairs: ComponentPairs, z: Tensor) -> Tensor:
    """Return the log-probability below the point whose standardised coordinates are `z: (B, K)` (above it, for `-z`):
    `(B,)`.
    """
    return (pairs.log_weight + torch.special.log_ndtr(z)).logsumexp(1)


def _bisect(pairs: ComponentPairs, wanted: Tensor, side: Tensor, z: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Solve for the point whose tail on `side` is `wanted`.

    The probability lies between those of the smallest and the largest standardised coordinate, hence so does the
    quantile of every component at the end.
    """
    low = (mean + std * z.min(1, keepdim=True).values).min(1).values
    high = (mean + std * z.max(1, keepdim=True).values).max(1).values
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        got = _log_tail(pairs, side[:, None] * (middle[:, None] - mean) / std)
        below = side * (got - wanted) < 0
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)


def integrated_flow(velocity: Callable[[Tensor, Tensor], Tensor], x: Tensor, start: Scales, end: Scales) -> Tensor:
    """Move `x: (B, d)` by integrating `velocity(x, t)`, the field of the *linear* path, with an eighth-order method.

    A state of any affine path divided by `alpha + sigma` is a state of the linear path at the time `alpha / (alpha +
    sigma)`. Not differentiable; computed on the CPU in float64.
    """
    from scipy.integrate import solve_ivp  # slow to import

    (time_s, scale_s), (time_e, scale_e) = (_linear_frame(*scales) for scales in (start, end))
    span = time_e - time_s

    def slope(progress: float, flat: np.ndarray) -> np.ndarray:
        points = torch.from_numpy(flat).reshape(x.shape)
        return (span[:, None] * velocity(points, time_s + progress * span)).flatten().numpy()

    initial = (x / scale_s[:, None]).flatten().numpy()
    solution = solve_ivp(
        slope, (0.0, 1.0), initial, method="DOP853", t_eval=[1.0], rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE
    )
    return torch.from_numpy(solution.y[:, -1].copy()).reshape(x.shape) * scale_e[:, None]


def _linear_frame(alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    return alpha / (alpha + sigma), alpha + sigma
