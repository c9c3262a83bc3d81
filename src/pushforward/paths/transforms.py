"""What can be done with a schedule after training: change it, precondition a network for it, step along its exact
Gaussian bridge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.contracts import Coefficients
from pushforward.paths.schedule import Schedule
from pushforward.tensors import bcast

__all__ = ["BridgeStep", "Preconditioning", "bridge_step", "change_schedule", "edm_preconditioning"]


def change_schedule(
    velocity: Callable[[Tensor, Tensor], Tensor], old: Schedule, new: Schedule
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the velocity under the schedule `new` of a field `velocity(x, t)` that was trained under `old`.

    `vbar(x, r) = (s'_r / s_r) x + s_r t'_r v(x / s_r, t_r)`, where `t_r` is the time at which `old` has the
    signal-to-noise ratio of `new` at r, and `s_r` the ratio of their scales. The end points of the flow do not change,
    only the way there: the map that one solver step sees does. Times of `new` whose ratio `old` never reaches (pure
    noise, for VP and VE) are taken at the nearest end of `old`.

    Scale and time derivative are written with `alpha + sigma`, so both ends are finite wherever the schedules are: `s =
    (alphabar + sigmabar) / (alpha + sigma)` and `t' = (Deltabar / Delta) / s^2`.
    """

    def transformed(x: Tensor, r: Tensor) -> Tensor:
        scale, d_scale, t, d_t = _matching(old, new, r)
        scale_x = bcast(scale, x)
        return torch.addcmul(bcast(d_scale / scale, x) * x, bcast(scale * d_t, x), velocity(x / scale_x, t))

    return transformed


def _matching(old: Schedule, new: Schedule, r: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return `s, s', t, t'` at the times `r` of the new schedule."""
    after = new(r)
    t = old.snr_inverse(after.alpha / after.sigma).clamp(*old.interval)
    before = old(t)
    total = before.alpha + before.sigma
    scale = (after.alpha + after.sigma) / total
    d_t = after.delta / before.delta / scale**2
    d_scale = (after.d_alpha + after.d_sigma - scale * (before.d_alpha + before.d_sigma) * d_t) / total
    return scale, d_scale, t, d_t


class Preconditioning(NamedTuple):
    """Coefficients of a preconditioned denoiser `D(x) = skip x + out F(into x)`. Each `(B,)`."""

    skip: Tensor
    out: Tensor
    into: Tensor


def edm_preconditioning(c: Coefficients, data_std: float) -> Preconditioning:
    """Return EDM's preconditioning for data of deviation `data_std`, written for the state `x` of any schedule.

    With `V = sigma^2 + alpha^2 data_std^2`, the variance of the state: `skip = alpha data_std^2 / V`, `out = sigma
    data_std / sqrt(V)`, `into = 1 / sqrt(V)`. The input of the network and its regression target then have unit
    variance at every time. For `alpha = 1` these are the paper's `c_skip, c_out, c_in`.

    Reference: Karras, Aittala, Aila and Laine, "Elucidating the Design Space of Diffusion-Based Generative Models"
    (2022), arXiv 2206.00364, table 1.
    """
    variance = c.sigma**2 + (c.alpha * data_std) ** 2
    deviation = variance.sqrt()
    return Preconditioning(c.alpha * data_std**2 / variance, c.sigma * data_std / deviation, 1 / deviation)


class BridgeStep(NamedTuple):
    """Coefficients of the step `x' = x_weight x + data_weight x1 + sqrt(variance) z`. Each `(B,)`."""

    x_weight: Tensor
    data_weight: Tensor
    variance: Tensor


def bridge_step(now: Coefficients, later: Coefficients) -> BridgeStep:
    """Return the exact law of the state at the `later` time, given the state now and the data `x1`, when the source is
    Gaussian.

    With `q = (sigma' / sigma)(alpha / alpha')`, primes for the later time: `c1 = (sigma' / sigma)^2 alpha / alpha'`,
    `c2 = (1 - q^2) alpha'`, `c3 = (1 - q^2) sigma'^2`. For the VP schedule this is the posterior of DDPM. Needs `sigma
    > 0` now and `alpha' > 0` later.
    """
    noise_ratio, signal_ratio = later.sigma / now.sigma, now.alpha / later.alpha
    fresh = 1 - (noise_ratio * signal_ratio) ** 2
    return BridgeStep(noise_ratio**2 * signal_ratio, fresh * later.alpha, fresh * later.sigma**2)
