"""alpha-Flow: from trajectory flow matching to MeanFlow in the course of training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from pushforward.citations import Reference
from pushforward.errors import InputError
from pushforward.objectives.flow_maps.curriculum import Curriculum, Sigmoidal
from pushforward.objectives.flow_maps.map_regression import MapObjective
from pushforward.objectives.flow_maps.map_targets import DiscreteTarget, EulerianTarget, MapTarget

__all__ = ["AlphaFlow"]


@dataclass(frozen=True)
class AlphaFlow(MapObjective):
    """MeanFlow with a difference quotient over the fraction alpha of each jump in the place of the derivative:
    `E |u(x_s; s, e) - sg[alpha v + (1 - alpha) u(x_m; m, e)]|^2 / (alpha d)`, `m = s + alpha (e - s)`, `x_m = x_s + (m
    - s) v`.

    The `curriculum` says alpha: at 1 every jump has the velocity of its pair as target (trajectory flow matching, no
    second evaluation), at 0 it is `MeanFlow`; in between the minimiser is off by a term of order alpha, so that
    training should end at 0. Weights are by the error of a MeanFlow residual, the above over alpha, so that the step
    from one to the other is none.

    `clamp`, 4 in the authors' largest trainings in a latent space, keeps the entries of the target between
    `-clamp` and `clamp` as long as alpha is not 0. Raises `InputError` unless it is positive.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "zhang2025alphaflow",
            "AlphaFlow: Understanding and Improving MeanFlow Models",
            "Zhang, Huijie and Siarohin, Aliaksandr and Menapace, Willi and Vasilkovsky, Michael and "
            "Tulyakov, Sergey and Qu, Qing and Skorokhodov, Ivan",
            2025,
            arxiv="2510.20771",
        ),
    )
    curriculum: Curriculum = field(default_factory=Sigmoidal)
    clamp: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clamp is not None and not self.clamp > 0:
            raise InputError(f"clamp must be positive, got {self.clamp}")

    def target(self, progress: float) -> MapTarget:
        """Return the rule for the alpha of that time."""
        alpha = self.curriculum(progress)
        return DiscreteTarget(alpha, self.clamp) if alpha > 0 else EulerianTarget()
