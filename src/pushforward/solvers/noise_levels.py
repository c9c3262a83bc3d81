"""EDM's grid: nodes at the noise levels of a power law, whatever the time of the path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.papers import ELUCIDATED_DIFFUSION
from pushforward.paths import LinearVE, Schedule
from pushforward.solvers.grid import GridRule

__all__ = ["NoiseLevels"]


@dataclass(frozen=True)
class NoiseLevels(GridRule):
    """Nodes where the noise level `s = sigma / alpha` of `schedule` has evenly spaced `rho`-th roots from `sigma_max`
    to `sigma_min`; the last step goes from `sigma_min` to the data.

    `s_i = (sigma_max^(1/rho) + i / (N - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho` for `i < N`, then 0. Between
    other times the roots are spaced between the levels there.
    """

    references: ClassVar[tuple[Reference, ...]] = (ELUCIDATED_DIFFUSION,)
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    schedule: Schedule = field(default_factory=LinearVE)

    def __post_init__(self) -> None:
        if not (0 < self.sigma_min < self.sigma_max and self.rho > 0):
            raise InputError(f"NoiseLevels needs 0 < sigma_min < sigma_max and rho > 0, got {self}")

    def _between(self, steps: int | None, low: float, high: float) -> Tensor:
        if steps is None or steps < 1:
            raise InputError(f"steps must be at least 1, got {steps}")
        ends = self.schedule(torch.tensor([low, high], dtype=torch.float64))
        first, last = (ends.sigma / ends.alpha).clamp(max=self.sigma_max).tolist()
        clean = last < self.sigma_min
        roots = torch.linspace(
            first ** (1 / self.rho), max(last, self.sigma_min) ** (1 / self.rho), steps if clean else steps + 1,
            dtype=torch.float64,
        )  # fmt: skip
        times = self.schedule.snr_inverse(roots**-self.rho)
        return torch.cat([times, times.new_tensor([high])]) if clean else times
