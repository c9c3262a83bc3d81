"""Laws of two times: where a jump starts and where it goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.objectives.time import LogitNormal, TimeLaw

__all__ = ["JumpLaw", "Jumps", "TimePairs"]


class Jumps(NamedTuple):
    """Starts `s` and ends `e >= s` of the jumps of a batch, `(B,)` each. The first `moving` rows jump, in the others
    `e = s`.
    """

    s: Tensor
    e: Tensor
    moving: int


class JumpLaw(Protocol):
    """A law of jumps."""

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
        ...


@dataclass(frozen=True)
class TimePairs:
    """Two times of one `law`, the smaller where a jump starts and the larger where it goes; all but the fraction
    `distinct` of the rows stay where they start, `e = s`.

    As many rows jump in every batch, the first ones, so that the others need not pay for them. With a law of their
    `length` jumps start at a time of `law` and end that much later, at the latest at 1. Those that start before the
    first of the two times `through` and go beyond the second go all the way, as a single jump from 0 will.

    >>> TimePairs(distinct=0.5).sample(4).moving
    2
    """

    law: TimeLaw = field(default_factory=lambda: LogitNormal(0.4, 1.0))
    distinct: float = 0.25
    length: TimeLaw | None = None
    through: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "through", tuple(self.through))
        if not 0 <= self.distinct <= 1:
            raise InputError(f"distinct is a fraction of the rows, got {self.distinct}")
        if len(self.through) != 2 or not 0 <= self.through[0] <= self.through[1] <= 1:
            raise InputError(f"through is two times in [0, 1], the smaller first, got {self.through}")

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
        laws = (self.law, self.law if self.length is None else self.length)
        first, second = (law.sample(n, generator=generator, device=device, dtype=dtype).label for law in laws)
        if self.length is None:
            s, e = torch.minimum(first, second), torch.maximum(first, second)
        else:
            s, e = first, (first + second).clamp(max=1)
        early, late = self.through
        e = torch.where((s < early) & (e > late), 1.0, e)
        low, high = interval
        s, e = (low + (high - low) * t for t in (s, e))
        moving = round(self.distinct * n)
        return Jumps(s, torch.cat([e[:moving], s[moving:]]), moving)
