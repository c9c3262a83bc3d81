"""Jumps over the whole unit interval, its halves, quarters and so on."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pushforward.errors import InputError
from pushforward.objectives.draws import Draws
from pushforward.objectives.flow_maps.time_pairs import Jumps
from pushforward.objectives.time import TimeLaw, Uniform

__all__ = ["Dyadic"]


@dataclass(frozen=True)
class Dyadic:
    """Jumps of lengths `d = 1, 1/2, 1/4, ...`, of `levels` of them each as likely, and with each start `0, d, ..., 1 -
    d` as likely; all but the fraction `distinct` of the rows stay where they start, `e = s`, at a time of `law`.

    Half of the shortest jump, `shortest = 2^-levels`, is the step of the finest grid. As many rows jump in every batch,
    the first ones.

    >>> jumps = Dyadic(levels=2, distinct=1.0).sample(4)
    >>> (jumps.e - jumps.s).unique()
    tensor([0.5000, 1.0000])
    """

    levels: int = 7
    distinct: float = 0.125
    law: TimeLaw = field(default_factory=Uniform)

    def __post_init__(self) -> None:
        if self.levels < 1 or not 0 <= self.distinct <= 1:
            raise InputError(f"Dyadic needs at least one level and a fraction of the rows that jump, got {self}")

    @property
    def shortest(self) -> float:
        """Half of the shortest jump."""
        return 2.0**-self.levels

    def sample(
        self,
        n: int,
        interval: tuple[float, float] = (0.0, 1.0),
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Jumps:
        """Draw `n` jumps, squeezed into an interval of times."""
        moving = round(self.distinct * n)
        still = self.law.sample(n - moving, generator=generator, device=device, dtype=dtype).label
        draws = Draws(moving, generator, device, torch.promote_types(still.dtype, torch.float32))
        level = (draws.stratified() * self.levels).floor().clamp(max=self.levels - 1)
        length = torch.exp2(-level)
        start = (draws.uniform() / length).floor() * length
        low, high = interval
        s, e = (low + (high - low) * torch.cat([first.to(still), still]) for first in (start, start + length))
        return Jumps(s, e, moving)
