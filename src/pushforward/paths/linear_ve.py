"""The variance-exploding path in the time of EDM: the noise level falls linearly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.papers import ELUCIDATED_DIFFUSION
from pushforward.paths.schedule import Schedule

__all__ = ["LinearVE"]


@dataclass(frozen=True)
class LinearVE(Schedule):
    """`alpha = 1`, `sigma = sigma_max (1 - t)`: time is the noise level itself, so that a step in t is a step in sigma
    and Heun's method is that of EDM.

    With a source N(0, I) this is EDM's path; with `StudentT(degrees=D)` in N dimensions it is the perturbation of
    PFGM++, `x = x1 + R u` with u uniform on the sphere and `p(R) ~ R^(N-1) / (R^2 + r^2)^((N+D)/2)`, `r = sigma
    sqrt(D)`. The velocity is finite at both ends.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        ELUCIDATED_DIFFUSION,
        Reference(
            "xu2023pfgmpp",
            "PFGM++: Unlocking the Potential of Physics-Inspired Generative Models",
            "Xu, Yilun and Liu, Ziming and Tian, Yonglong and Tong, Shangyuan and Tegmark, Max and Jaakkola, Tommi",
            2023,
            arxiv="2302.04265",
        ),
    )
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_max < math.inf:
            raise InputError(f"LinearVE needs sigma_max > 0, got {self.sigma_max}")

    def __call__(self, t: Tensor) -> Coefficients:
        """Return the coefficients at `t`."""
        one = torch.ones_like(t)
        return Coefficients(one, self.sigma_max * (1 - t), torch.zeros_like(t), -self.sigma_max * one)

    def snr_inverse(self, rho: Tensor) -> Tensor:
        """Return `1 - 1 / (rho sigma_max)`."""
        return (1 - 1 / (rho * self.sigma_max)).clamp(0, 1)
