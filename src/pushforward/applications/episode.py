"""One run of a controlled system, from reset to end."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

__all__ = ["Episode"]


@dataclass(frozen=True)
class Episode:
    """What was observed and done in one run: `observations: (T + 1, d)`, that before each action and the last, and
    `actions: (T, a)`; the sum of its rewards, and whether it ended in success.
    """

    observations: Tensor
    actions: Tensor
    reward: float
    success: bool

    def __len__(self) -> int:
        return len(self.actions)
