"""Learning to follow features through a segment of time, from those of its first state."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.errors import InputError
from pushforward.networks import Field, FollowedFeatures, SegmentExperts
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform

__all__ = ["FeatureApproximation"]


@dataclass(frozen=True)
class FeatureApproximation(Objective):
    """`E |f_m + rho(x_t, t, f_m) - f(x_t, t)|^2 / k` for k features f of a frozen backbone, with `f_m = f(x_{t_m},
    t_m)` at the state of the same pair where the segment of t begins (feature residual approximation).

    For a flow of a `FeatureGuided` network as `init` and `FeatureResidual` as the adapter; only the light network rho
    learns. The term `unexplained` is the loss over that of `rho = 0`.
    """

    references: ClassVar[tuple[Reference, ...]] = SegmentExperts.references
    time: TimeLaw = field(default_factory=Uniform)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another network."""
        network = field.network
        if not isinstance(network, FollowedFeatures):
            raise InputError(
                "FeatureApproximation needs a trained FeatureGuided network, and the adapter FeatureResidual"
            )
        times = self.time.sample(len(pairs), generator=generator, device=pairs.x1.device, dtype=pairs.x1.dtype)
        start = _segment_starts(times.input, network.boundaries)
        point = path.point(pairs, times, generator=generator)
        first = path.point(pairs, Times(start, start, times.log_prob), generator=generator)
        with torch.no_grad():
            told = network.entered(first.x, first.t, pairs.condition)
            exact = network.guided.described(point.x, point.t, pairs.condition)
            still = network.kept(told)
        error = (network.followed(point.x, point.t, told) - exact).square().mean(1)
        total = pairs.mean(error)
        return Loss(total, {"unexplained": error.detach().mean() / (still - exact).square().mean()}, error.detach())


def _segment_starts(t: Tensor, boundaries: tuple[float, ...]) -> Tensor:
    """Return the latest of 0 and the boundaries that is not after each time: `(B,)`."""
    starts = t.new_tensor((0.0, *boundaries))
    return starts[(t[:, None] >= starts[1:]).sum(1)]
