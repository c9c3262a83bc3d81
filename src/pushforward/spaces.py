"""Where pairs are made: of the points of the data themselves, or of what is kept of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from pushforward.conditions import Condition
from pushforward.ends import End

__all__ = ["Space"]


@dataclass(frozen=True)
class Space:
    """The maps from the points and conditions of a user to those that are paired: by default nothing is done to them.

    Couplings, paths and networks see what comes out. `source` and `target` are the maps of the two sides.
    """

    source: End = field(default_factory=End)
    target: End = field(default_factory=End)

    def condition(self, condition: Condition | None, normalise: Callable[[Tensor], Tensor]) -> Condition | None:
        """Return the conditions that the network sees; `normalise` brings points to the units of the network."""
        return condition
