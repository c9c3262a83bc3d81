"""Kinetic-optimal schedules: the affine path of least energy, from how hard the data are to tell apart in noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients, Sides
from pushforward.errors import InputError
from pushforward.paths.schedule import Schedule
from pushforward.paths.tabulated import Tabulated

__all__ = ["KineticOptimal", "kinetic_energy", "kinetic_optimal", "mmse", "separation"]

ErrorCurve: TypeAlias = Callable[[Tensor], Tensor]
"""The best denoiser's error `E|x1 - E[x1 | rho x1 + x0]|^2 / d` at signal-to-noise ratios `rho`: `(K,) -> (K,)`."""

ANGLES, QUADRATURE = 4001, 4096


def mmse(
    x1: Tensor,
    snr: Tensor,
    *,
    weight: Tensor | None = None,
    draws: int = 1024,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the error of the best denoiser of a finite set of points, `E|x1 - E[x1 | rho x1 + x0]|^2 / d`, at each
    signal-to-noise ratio `rho` of `snr: (K,)`: `(K,)`.

    The posterior over the points `x1: (n, *event)`, with weights `(n,)`, is exact (a softmax); the mean is over `draws`
    points and noises, the same for every ratio. With the posterior mean m at `y = rho x1 + x0`, the error is `E|x1|^2 -
    E|m|^2`, which is nearly exact at high noise, and `(d - E|y - rho m|^2) / rho^2`, nearly exact at low noise: the two
    are mixed by their variances. Time `K draws n d`.
    """
    points = x1.flatten(1)
    weight = points.new_full((len(points),), 1 / len(points)) if weight is None else weight.to(points)
    rows = torch.multinomial(weight, draws, replacement=True, generator=generator)
    noise = torch.randn(draws, points.shape[1], generator=generator).to(points)
    drawn, half_norm, log_weight = points[rows], points.square().sum(1) / 2, weight.log()
    moment = weight @ points.square().mean(1)
    errors = []
    for rho in snr.to(points):
        y = rho * drawn + noise
        mean = (log_weight + rho * y @ points.T - rho**2 * half_norm).softmax(1) @ points
        noisy, clean = moment - mean.square().mean(), (1 - (y - rho * mean).square().mean()) / rho**2
        strength = (rho**2 * moment) ** 2
        errors.append(torch.lerp(noisy, clean, strength / (1 + strength)))  # by their variances
    return torch.stack(errors)


def separation(angle: Tensor, error: ErrorCurve, moment: float) -> Tensor:
    """Return the separation `l = 1 - (1 + lambda^2) error / moment` at angles in [0, pi/2], where `lambda = tan(angle)
    = rho sqrt(moment)` and `moment = E|x1|^2 / d`: 0 where noisy data look Gaussian, 1 where every point is told apart.
    """
    ratio = torch.tan(angle.clamp(1e-6, math.pi / 2 - 1e-6))
    return (1 - (1 + ratio.square()) * error(ratio / math.sqrt(moment)).to(angle) / moment).clamp(0, 1)


def kinetic_energy(schedule: Schedule, error: ErrorCurve, moment: float = 1.0) -> float:
    """Return the kinetic energy per dimension of the marginal flow under `schedule`, `1/2 integral E|u|^2 dt / d`.

    With `a = alpha sqrt(moment)` it is `1/2 integral ((a a' + sigma sigma')^2 + l Delta_a^2) / (a^2 + sigma^2) dt`, for
    a source N(0, I) drawn independently of the data. The data enter through their separation alone.
    """
    t = (torch.arange(QUADRATURE, dtype=torch.float64) + 0.5) / QUADRATURE
    # nodes close to both ends, where derivatives may be large
    nodes, weights = torch.sin(t * math.pi / 2).square(), torch.sin(t * math.pi) * math.pi / 2 / QUADRATURE
    c, scale = schedule(nodes), math.sqrt(moment)
    c = Coefficients(scale * c.alpha, c.sigma, scale * c.d_alpha, c.d_sigma)
    radial = c.alpha * c.d_alpha + c.sigma * c.d_sigma
    apart = separation(torch.atan2(c.alpha, c.sigma), error, moment)
    return float(weights @ ((radial.square() + apart * c.delta.square()) / (c.alpha**2 + c.sigma**2)) / 2)


def kinetic_optimal(
    error: ErrorCurve, moment: float = 1.0, *, floor: float = 1e-4, nodes: int = 256
) -> tuple[Tabulated, float]:
    """Return the schedule of least kinetic energy for data of this error curve, and that energy per dimension.

    With `a = r sin(angle)`, `sigma = r cos(angle)` the energy is `1/2 integral r'^2 + l(angle) r^2 angle'^2 dt`. In the
    angle `phi = integral sqrt(l)` this is the flat plane in polar coordinates, where the shortest way from radius 1 at
    angle 0 to radius `c = sqrt(moment)` at angle `Phi = phi(pi/2)` is the chord `r e^(i phi) = 1 - t + t c e^(i Phi)`,
    of energy `(1 + c^2 - 2 c cos(Phi)) / 2`. For points far apart (l = 1) it is `CondOT`.

    `floor` bounds l below: where l vanishes at an end the coefficients would have infinite derivatives.
    """
    scale = math.sqrt(moment)
    angle = torch.linspace(0, math.pi / 2, ANGLES, dtype=torch.float64)
    speed = separation(angle, error, moment).clamp(min=floor).sqrt()
    phi = torch.cat([angle.new_zeros(1), torch.cumulative_trapezoid(speed, angle)])
    total = float(phi[-1])
    t = Tabulated.nodes(nodes)
    # the chord in the plane, with its polar coordinates and their derivatives
    dx, dy = scale * math.cos(total) - 1, scale * math.sin(total)
    x, y = 1 + t * dx, t * dy
    r = torch.hypot(x, y)
    d_r, d_phi = (x * dx + y * dy) / r, (x * dy - y * dx) / r.square()
    theta, local = (_interpolate(torch.atan2(y, x), phi, values) for values in (angle, speed))
    d_theta = d_phi / local
    sine, cosine = torch.sin(theta), torch.cos(theta)
    sine[0], cosine[-1] = 0, 0  # exactly the ends
    tables = (
        r * sine / scale, r * cosine,
        (d_r * sine + r * cosine * d_theta) / scale, d_r * cosine - r * sine * d_theta,
    )  # fmt: skip
    return Tabulated(*(tuple(table.tolist()) for table in tables)), (1 + moment - 2 * scale * math.cos(total)) / 2


def _interpolate(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.from_numpy(np.interp(at.numpy(), x.numpy(), y.numpy()))


@dataclass(frozen=True)
class KineticOptimal(Schedule):
    """The schedule whose marginal flow has the least kinetic energy for the data at hand, for a source N(0, I) drawn
    independently of them.

    Before training it estimates from up to `points` points of the target how well they are told apart at every noise
    level, and becomes the `Tabulated` schedule of `kinetic_optimal`. Many points in few dimensions bend it away from
    `CondOT`; in high dimension every point is told apart, and it is `CondOT`. `floor` as in `kinetic_optimal`.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "shaul2023kinetic",
            "On Kinetic Optimal Probability Paths for Generative Models",
            "Shaul, Neta and Chen, Ricky T. Q. and Nickel, Maximilian and Le, Matt and Lipman, Yaron",
            2023,
            arxiv="2306.06626",
            venue="International Conference on Machine Learning",
        ),
    )
    points: int = 2000
    draws: int = 1024
    levels: int = 48
    floor: float = 1e-4

    def __post_init__(self) -> None:
        if min(self.points, self.draws, self.levels) < 2 or not 0 < self.floor < 1:
            raise InputError(
                f"KineticOptimal needs points, draws and levels of at least 2 and a floor in (0, 1): {self}"
            )

    def prepared(self, sides: Sides, *, generator: torch.Generator) -> Schedule:
        """Return the tabulated schedule for the target of `sides`."""
        from scipy.optimize import isotonic_regression  # slow to import

        points = self._sample(sides, generator)
        moment = float(points.double().square().mean())
        if moment == 0:
            raise InputError("KineticOptimal needs a target that is not all zeros")
        snr = torch.logspace(-2, 2, self.levels, dtype=torch.float64) / math.sqrt(moment)
        found = mmse(points, snr, draws=self.draws, generator=generator).double()
        smooth = torch.from_numpy(isotonic_regression(found.numpy(), increasing=False).x.copy())
        return kinetic_optimal(_curve(snr, smooth), moment, floor=self.floor)[0]

    def _sample(self, sides: Sides, generator: torch.Generator) -> Tensor:
        """Take the data themselves where they are few and equally heavy, else draw from the target."""
        if sides.data is not None and len(sides.data[0]) <= self.points and len(sides.data[1].unique()) == 1:
            return sides.data[0]
        return sides.target(self.points, generator=generator)[0]

    def __call__(self, t: Tensor) -> Coefficients:
        """Raise `InputError`: the schedule is known when the data are."""
        raise InputError("KineticOptimal is known only once it has seen the data: use it in `fit`, or call `prepared`")

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Raise `InputError`, as a call does."""
        return self(rho).alpha


def _curve(snr: Tensor, error: Tensor) -> ErrorCurve:
    """Interpolate `(1 + snr^2) error`, which changes slowly, in log snr; beyond the table it stays as at its ends."""

    def evaluate(rho: Tensor) -> Tensor:
        slow = _interpolate(rho.double().log(), snr.log(), (1 + snr.square()) * error)
        return slow / (1 + rho.double().square())

    return evaluate
