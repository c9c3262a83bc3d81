"""The plain velocity behind one that was trained with negative pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pushforward.conditions import Condition
from pushforward.contracts import VelocityField
from pushforward.errors import InputError

__all__ = ["Deinterfered"]


@dataclass(frozen=True)
class Deinterfered:
    """Turn the minimiser of `objectives.Contrastive` back into that of flow matching: `v_FM = (1 - strength) v +
    strength u_bar`.

    `mean`, of the shape of a point, is `u_bar = E[x1] - E[x0]` in the units of the network; 0, the default, is right
    for noise and data that `fit` has normalised. To be applied before guidance: `ClassifierFree(Deinterfered(field,
    0.05), scale)`. Source: Stoica et al. 2025, Contrastive Flow Matching, arXiv 2506.05350.
    """

    field: VelocityField
    strength: float
    mean: Tensor | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 1:
            raise InputError(f"strength must lie in [0, 1), got {self.strength}")

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return dx/dt of plain flow matching at `x: (B, *event)`, `t: (B,)`."""
        v = (1 - self.strength) * self.field.velocity(x, t, condition)
        return v if self.mean is None else v + self.strength * self.mean.to(v)

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Raise `InputError`: only the velocity is corrected."""
        raise InputError("Deinterfered corrects velocities and has no score: solve it with an ordinary solver")
