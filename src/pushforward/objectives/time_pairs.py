"""Laws of two times: where a jump starts and where it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.objectives.time import LogitNormal, TimeLaw

__all__ = ["Jumps", "TimePairs"]


class Jumps(NamedTuple):
    """Starts `s` and ends `e >= s` of the jumps of a batch, `(B,)` each. The first `moving` rows jump, in the others
    `e = s`.
    """

    s: Tensor
    e: Tensor
    moving: int


@dataclass(frozen=True)
class TimePairs:
    """Two times of one `law`, the smaller where a jump starts and the larger where it goes; all but the fraction
    `distinct` of the rows stay where they start, `e = s`.

    As many rows jump in every batch, the first ones, so that the others need not pay for them.

    >>> TimePairs(distinct=0.5).sample(4).moving
    2
    """

    law: TimeLaw = field(default_factory=lambda: LogitNormal(0.4, 1.0))
    distinct: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.distinct <= 1:
            raise InputError(f"distinct is a fraction of the rows, got {self.distinct}")

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
        first, second = (self.law.sample(n, generator=generator, device=device, dtype=dtype).label for _ in range(2))
        low, high = interval
        s, e = (low + (high - low) * t for t in (torch.minimum(first, second), torch.maximum(first, second)))
        moving = round(self.distinct * n)
        return Jumps(s, torch.cat([e[:moving], s[moving:]]), moving)
