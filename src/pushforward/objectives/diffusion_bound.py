"""The bound on the likelihood of a diffusion whose noising process may be learned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import drop_rows
from pushforward.contracts import Loss, Pairs, Path
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.papers import NEURAL_FLOW_DIFFUSION
from pushforward.paths import NeuralDiffusion
from pushforward.tensors import bcast

__all__ = ["DiffusionBound"]

FIRST = 1e-5
"""The diffusion may be infinite at t = 0: times start here."""


@dataclass(frozen=True)
class DiffusionBound(Objective):
    """An upper bound on `-log p(x1)` in nats, minimised over the field and the noising process of a `NeuralDiffusion`
    path together: reconstruction + diffusion + prior.

    With the drift of the reversal `f(z, x) = velocity + (g^2 / 2) score` at the state z for the data x, the diffusion
    term is `E |f(z, x1) - f(z, xhat)|^2 / (2 g^2)` over times and noise, `xhat` being the field's prediction; gradients
    reach the process through both. Reconstruction is `-log N(x1; z / alpha, (sigma / alpha)^2)` at the last time, and
    prior the divergence of the first state from N(0, I).

    `curvature` times `|d^2 x_t / dt^2|^2 / d` is added for straighter paths (NFDM-OT). `total` is per entry of a point;
    `terms` and `per_sample` are in nats per point, in the units of the network. Needs `predicts="data"` and a source
    N(0, I) independent of the data; raises `InputError` otherwise.
    """

    references: ClassVar[tuple[Reference, ...]] = (NEURAL_FLOW_DIFFUSION,)
    curvature: float = 0.0
    time: TimeLaw = field(default_factory=Uniform)
    condition_dropout: float = 0.0

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss on a batch of pairs."""
        if not isinstance(path, NeuralDiffusion) or field.predicts != ("data",) or not pairs.gaussian_source:
            raise InputError(
                "DiffusionBound needs a NeuralDiffusion path, predicts='data' and the independent coupling with a "
                "standard normal source"
            )
        x1, size = pairs.x1, pairs.x1[0].numel()
        times = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype)
        low, high = max(FIRST, path.interval[0]), path.interval[1]
        t = low + (high - low) * times.input
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        diffusion = (high - low) * _mismatch(field, pairs, path, t, condition) / times.log_prob.exp()
        reconstruction, prior = _ends(path, x1)
        bound = diffusion + reconstruction + prior
        terms = {"bound": bound, "diffusion": diffusion, "reconstruction": reconstruction, "prior": prior}
        total = bound.mean() / size
        if self.curvature > 0:
            bend = path.curvature(x1, pairs.x0, t).square().mean()
            total, terms = total + self.curvature * bend, terms | {"curvature": bend}
        return Loss(total, {name: value.detach().mean() for name, value in terms.items()}, bound.detach())


def _mismatch(field: Field, pairs: Pairs, path: NeuralDiffusion, t: Tensor, condition: object) -> Tensor:
    """Return `|f(z, x1) - f(z, xhat)|^2 / (2 g^2)`: `(B,)`."""
    truth = path.moments(pairs.x1, t)
    z = truth.mean + truth.deviation * pairs.x0
    guess = path.moments(field(z, t, condition), t)
    squared = path.diffusion(t)
    scores = guess.noise(z) / guess.deviation - pairs.x0 / truth.deviation
    gap = truth.d_mean + truth.d_deviation * pairs.x0 - guess.velocity(z) + bcast(squared / 2, z) * scores
    return gap.square().flatten(1).sum(1) / (2 * squared)


def _ends(path: NeuralDiffusion, x1: Tensor) -> tuple[Tensor, Tensor]:
    """Return the reconstruction and prior terms, both in closed form: each `(B,)`."""
    size = x1[0].numel()
    c = path.schedule(torch.tensor([path.interval[0], path.interval[1]], dtype=torch.float64, device=x1.device))
    spread = size / 2 * (1 + torch.log(2 * math.pi * (c.sigma[1] / c.alpha[1]).square()))
    variance, square = c.sigma[0].square(), x1.flatten(1).square().sum(1)
    prior = (c.alpha[0].square().to(x1) * square + (size * (variance - 1 - variance.log())).to(x1)) / 2
    return spread.to(x1).expand(len(x1)), prior
