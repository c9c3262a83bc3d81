"""The likelihood of transitions under a mixture of velocities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import check_dropout, drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field, MixtureHead, MixtureLaw
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import LogitNormal, TimeLaw
from pushforward.paths import Affine, Schedule, bridge_step
from pushforward.tensors import bcast

__all__ = ["TransitionLikelihood"]


@dataclass(frozen=True)
class TransitionLikelihood(Objective):
    """`-log q(x_e | x_t) / d` of the states at the end `e = t + ratio (1 - t)` of a transition, for a network that
    predicts a Gaussian mixture of velocities (`networks.MixtureHead`).

    The pair's own transition is the Gaussian bridge `N(c1 x + c2 x1, c3 I)`, and `x1 = g v + ...` with `g = sigma /
    Delta`; so the predicted transition is the mixture of the velocities, blurred by noise of deviation `r = sqrt(c3) /
    (c2 g)`. Divided by `c2 g`, which changes the loss by a constant, this is the likelihood of the velocity seen
    through that noise, `-log sum_k A_k N(v + r z; mu_k, (s^2 + r^2) I)`: nothing degenerates towards the data. `ratio =
    1` is the likelihood of the velocity itself, smaller ratios blur more. One component is, up to its variance, plain
    flow matching.

    Needs an affine path from N(0, I) noise. `terms` has the mean deviation `s`.
    """

    references: ClassVar[tuple[Reference, ...]] = MixtureHead.references
    ratio: float = 0.9
    time: TimeLaw = field(default_factory=LogitNormal)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise InputError(f"ratio is the part of the remaining time that a transition takes, got {self.ratio}")
        check_dropout(self.condition_dropout)

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss. Raises `InputError` for another network or path, a source that is not noise, and pairs with
        weights or a mask.
        """
        network = field.network
        if not isinstance(network, MixtureLaw) or not isinstance(path, Affine):
            raise InputError("TransitionLikelihood needs an affine path and a network: MixtureHead")
        if not pairs.gaussian_source or pairs.weight is not None or pairs.mask is not None:
            raise InputError(
                "TransitionLikelihood needs pairs with independent noise N(0, I), without weights and masks"
            )
        times = self.time.sample(len(pairs), generator=generator, device=pairs.x1.device, dtype=pairs.x1.dtype)
        point = path.point(pairs, times, generator=generator)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        mixture = network.mixture(point.x, point.t, condition)
        blur = self.blur(path.schedule, times.input)
        z = torch.randn(point.v.shape, generator=generator, dtype=point.v.dtype, device=point.v.device)
        blurred = torch.addcmul(point.v, bcast(blur, z), z)
        per_sample = -mixture.blurred(blur.square()).log_prob(blurred) / point.v[0].numel()
        terms = {"deviation": mixture.variance.detach().sqrt().mean()}
        return Loss(per_sample.mean(), terms, per_sample.detach())

    def blur(self, schedule: Schedule, t: Tensor) -> Tensor:
        """Return the deviation r of the noise that the velocity is seen through at times `t: (B,)`."""
        now, then = schedule(t), schedule(t + self.ratio * (1 - t))
        law = bridge_step(now, then)
        return law.variance.clamp(min=0).sqrt() * now.delta / (law.data_weight * now.sigma)
