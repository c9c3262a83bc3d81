"""The toy targets of the field, under names that say whose definition they follow.

The same name means different laws in different packages: scikit-learn's moons have isotropic Gaussian noise, torchdyn's
move along the diagonal; the "8 gaussians" of flow-matching papers have mode deviation 0.316 where the text is followed
and 0.562 where the reference code is run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.measures._linear import check_points
from pushforward.measures.measure import Measure
from pushforward.measures.mixture import GaussianMixture

__all__ = [
    "TOYS",
    "Checkerboard",
    "Circles",
    "MoonsSklearn",
    "MoonsTorchdyn",
    "Pinwheel",
    "SCurve",
    "Spirals",
    "eight_gaussians",
    "eight_gaussians_torchcfm",
    "gaussians_on_circle",
    "ring",
    "two_gaussians",
]


def gaussians_on_circle(modes: int, radius: float, std: float) -> GaussianMixture:
    """Return `modes` isotropic Gaussians of deviation `std`, evenly spaced on a circle, the first at angle zero.

    >>> gaussians_on_circle(4, 2.0, 0.1).means.round()
    tensor([[ 2.,  0.],
            [-0.,  2.],
            [-2., -0.],
            [ 0., -2.]])
    """
    if modes < 1 or std <= 0:
        raise InputError(f"gaussians_on_circle needs modes >= 1 and std > 0, got modes={modes} and std={std}")
    angle = torch.arange(modes) * (2 * math.pi / modes)
    means = radius * torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(means, (std**2 * torch.eye(2)).expand(modes, 2, 2))


def eight_gaussians() -> GaussianMixture:
    """Eight Gaussians of variance 0.1 (deviation 0.316) on a circle of radius 5: TorchCFM's target as its papers
    describe it.
    """
    return gaussians_on_circle(8, 5.0, math.sqrt(0.1))


def eight_gaussians_torchcfm() -> GaussianMixture:
    """Eight Gaussians of deviation 0.562 on a circle of radius 5: TorchCFM's target as its code draws it.

    The code passes `sqrt(0.1) I` where a covariance is asked for, so the deviation is `0.1^(1/4)`.
    """
    return gaussians_on_circle(8, 5.0, 0.1**0.25)


def ring() -> GaussianMixture:
    """Eight Gaussians of deviation 0.15 on a circle of radius 2, for a source N(0, I)."""
    return gaussians_on_circle(8, 2.0, 0.15)


def two_gaussians() -> GaussianMixture:
    """Two Gaussians of deviation 0.5 at (-2, 0) and (2, 0)."""
    return gaussians_on_circle(2, 2.0, 0.5)


class _Planar(Measure):
    """A measure on the plane."""

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one point, `(2,)`."""
        return (2,)


def _uniform(n: int, generator: torch.Generator | None) -> Tensor:
    return torch.rand(n, generator=generator)


def _gaussian_noise(n: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(n, 2, generator=generator)


def _signs(n: int, generator: torch.Generator | None) -> Tensor:
    return 2.0 * torch.randint(2, (n,), generator=generator) - 1


def _moon_arcs(n: int, generator: torch.Generator | None) -> Tensor:
    """Draw points on the upper arc `(cos a, sin a)` or the lower arc `(1 - cos a, 1/2 - sin a)`, with a uniform on [0,
    pi].
    """
    angle, side = math.pi * _uniform(n, generator), _signs(n, generator)
    arc = side[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return torch.where(side[:, None] > 0, arc, arc + torch.tensor([1.0, 0.5]))


@dataclass(frozen=True)
class MoonsSklearn(_Planar):
    """Two interleaved half circles with isotropic Gaussian noise of deviation `noise`: scikit-learn's `make_moons`.

    scikit-learn spaces the angles evenly; here, as for every toy, points are independent.
    """

    noise: float = 0.05

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        return _moon_arcs(n, generator) + self.noise * _gaussian_noise(n, generator)


@dataclass(frozen=True)
class MoonsTorchdyn(_Planar):
    """Two half circles moved along the diagonal by one uniform number on [0, `noise`], then `scale x + shift`:
    TorchCFM's moons.

    torchdyn's `generate_moons` adds the *same* number to both coordinates, so that each arc becomes a diagonal band,
    not a blurred curve; TorchCFM takes `noise=0.2` and maps `x` to `3 x - 1`. They space the angles evenly; here, as
    for every toy, points are independent.
    """

    noise: float = 0.2
    scale: float = 3.0
    shift: float = -1.0

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        arcs = _moon_arcs(n, generator)
        return self.scale * (arcs + self.noise * _uniform(n, generator)[:, None]) + self.shift


@dataclass(frozen=True)
class Checkerboard(_Planar):
    """The uniform law on every other cell of a board of `cells x cells` squares that fills [-half_width, half_width]^2.

    At the defaults it is the checkerboard of FFJORD (Grathwohl et al., 2019): eight squares of side 2. The lower left
    cell is full.
    """

    cells: int = 4
    half_width: float = 4.0

    def __post_init__(self) -> None:
        if self.cells < 2 or self.cells % 2 or self.half_width <= 0:
            raise InputError(
                f"Checkerboard needs an even number of cells and half_width > 0, got {self.cells} and {self.half_width}"
            )

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        column = torch.randint(self.cells, (n,), generator=generator)
        row = 2 * torch.randint(self.cells // 2, (n,), generator=generator) + column % 2
        inside = torch.rand(n, 2, generator=generator)
        return (torch.stack([column, row], 1) + inside) * (2 * self.half_width / self.cells) - self.half_width

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density at `x: (n, 2)`, `(n,)`: minus infinity on the empty cells."""
        check_points(x, (2,))
        cell = torch.floor((x + self.half_width) * (self.cells / (2 * self.half_width)))
        full = ((cell >= 0) & (cell < self.cells)).all(1) & (cell.sum(1) % 2 == 0)
        level = x.new_full((len(x),), -math.log(2 * self.half_width**2))
        return torch.where(full, level, -math.inf)


@dataclass(frozen=True)
class Circles(_Planar):
    """Two concentric circles of radii 1 and `factor`, with Gaussian noise, times `scale`: scikit-learn's `make_circles`
    as FFJORD uses it.
    """

    factor: float = 0.5
    noise: float = 0.08
    scale: float = 3.0

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        angle = 2 * math.pi * _uniform(n, generator)
        radius = torch.where(_signs(n, generator) > 0, 1.0, self.factor)
        circle = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
        return self.scale * (circle + self.noise * _gaussian_noise(n, generator))


@dataclass(frozen=True)
class SCurve(_Planar):
    """The curve `(sin a, sign(a) (cos a - 1))`, a uniform on [-3 pi / 2, 3 pi / 2], with Gaussian noise: scikit-learn's
    `make_s_curve` in the plane.
    """

    noise: float = 0.05
    scale: float = 1.0

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        angle = 3 * math.pi * (_uniform(n, generator) - 0.5)
        curve = torch.stack([angle.sin(), angle.sign() * (angle.cos() - 1)], 1)
        return self.scale * (curve + self.noise * _gaussian_noise(n, generator))


@dataclass(frozen=True)
class Spirals(_Planar):
    """Two arms `+-(-a cos a, a sin a) / 3` of one and a half turns, `a = 3 pi sqrt(u)`, in the version of FFJORD
    ("2spirals").

    Each coordinate of the unsigned arm is first moved by a uniform number on [0, `width`], then Gaussian noise is added
    to the result.
    """

    width: float = 0.5
    noise: float = 0.1

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        angle = 3 * math.pi * _uniform(n, generator).sqrt()
        arm = torch.stack([-angle * angle.cos(), angle * angle.sin()], 1)
        arm = arm + self.width * torch.rand(n, 2, generator=generator)
        return _signs(n, generator)[:, None] * arm / 3 + self.noise * _gaussian_noise(n, generator)


@dataclass(frozen=True)
class Pinwheel(_Planar):
    """`arms` Gaussian blades around the origin, sheared into a spiral: the pinwheel of Johnson et al. (2016), as FFJORD
    scales it (times 2).

    A point `(1 + radial z1, tangential z2)` is turned clockwise by its arm's angle plus `rate exp(first coordinate)`.
    """

    arms: int = 5
    radial: float = 0.3
    tangential: float = 0.1
    rate: float = 0.25

    def __post_init__(self) -> None:
        if self.arms < 1:
            raise InputError(f"Pinwheel needs at least one arm, got {self.arms}")

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Draw `n` independent points: `(n, 2)`."""
        z = _gaussian_noise(n, generator)
        along, across = 1 + self.radial * z[:, 0], self.tangential * z[:, 1]
        arm = torch.randint(self.arms, (n,), generator=generator)
        angle = arm * (2 * math.pi / self.arms) + self.rate * along.exp()
        cosine, sine = angle.cos(), angle.sin()
        return 2 * torch.stack([along * cosine + across * sine, across * cosine - along * sine], 1)


TOYS: dict[str, Callable[[], Measure]] = {
    "8gaussians": eight_gaussians,
    "8gaussians-torchcfm": eight_gaussians_torchcfm,
    "ring": ring,
    "two-gaussians": two_gaussians,
    "moons-sklearn": MoonsSklearn,
    "moons-torchdyn": MoonsTorchdyn,
    "checkerboard": Checkerboard,
    "circles": Circles,
    "s-curve": SCurve,
    "spirals": Spirals,
    "pinwheel": Pinwheel,
}
"""Every toy by its name; call the entry for the measure, and read its docstring for the definition."""
