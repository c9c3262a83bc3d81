"""One side of a flow: from a user's points to the states that the solver moves, and back."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pushforward.conditions import Condition
from pushforward.ends import End
from pushforward.maps.frame import Frame

__all__ = ["Side"]


@dataclass(frozen=True)
class Side:
    """The units of a side (its frame), followed by what the path does to points there (its end)."""

    frame: Frame
    end: End

    def enter(self, x: Tensor, condition: Condition | None) -> Tensor:
        """From a user's points `(B, *event)` to states, in the frame's precision and on its device."""
        scale = self.frame.scale
        return self.end.encode(self.frame.normalise(x.to(scale.device, scale.dtype)), condition)

    def leave(self, state: Tensor, condition: Condition | None) -> Tensor:
        """From states to a user's points: the inverse of `enter`."""
        return self.frame.restore(self.end.decode(state, condition))

    def log_volume(self, x: Tensor, condition: Condition | None) -> Tensor:
        """`log |det d enter / dx|` at a user's points `x`: `(B,)`."""
        return self.frame.log_det() + self.end.log_volume(self.frame.normalise(x), condition)
