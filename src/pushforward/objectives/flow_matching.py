"""Flow matching: regress the conditional velocity, or whatever else the network predicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.citations import Reference
from pushforward.conditions import drop_rows
from pushforward.contracts import Loss, Pairs, Path, Times
from pushforward.errors import InputError
from pushforward.networks import Field
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import TimeLaw, Uniform
from pushforward.objectives.weighting import Unweighted, Weighting
from pushforward.tensors import flat_mean

__all__ = ["FlowMatching"]


@dataclass(frozen=True)
class FlowMatching(Objective):
    """`E w(t) |field(x_t, t) - target|^2 / d`, whose minimiser is the conditional mean of the target given the state.

    The target is the velocity, data, noise or score of the path's point, as the field predicts. Times follow the `time`
    law (squeezed into the path's interval where that is smaller than [0, 1]), each sample is weighted by `weighting`,
    and by its pair's weight (normalised by their sum). The squared error is averaged over the entries of a sample that
    are free (`pairs.mask`). With `condition_dropout` the condition of each row is dropped with that probability, for
    classifier-free guidance.

    `per_sample` in the result is each sample's squared error, weighted by time and not by pair, and detached.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "lipman2023flow",
            "Flow Matching for Generative Modeling",
            "Yaron Lipman and Ricky T. Q. Chen and Heli Ben-Hamu and Maximilian Nickel and Matt Le",
            2022,
            arxiv="2210.02747",
        ),
    )
    time: TimeLaw = field(default_factory=Uniform)
    weighting: Weighting = field(default_factory=Unweighted)
    condition_dropout: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.condition_dropout <= 1:
            raise InputError(f"condition_dropout is a probability, got {self.condition_dropout}")

    def __call__(self, field: Field, pairs: Pairs, path: Path, *, generator: torch.Generator | None = None) -> Loss:
        """Return the loss; raises `InputError` for a score that does not exist, and for per-sample factors of a wrong
        shape.
        """
        x1 = pairs.x1
        times = self.time.sample(len(pairs), generator=generator, device=x1.device, dtype=x1.dtype)
        times = _within(times, path.interval)
        point = path.point(pairs, times, generator=generator)
        target = path.target(point, field.predicts, gaussian_source=pairs.gaussian_source)
        condition = drop_rows(pairs.condition, self.condition_dropout, generator=generator)
        prediction = field(point.x, point.t, condition)
        weight = self.weighting(times, path, field.predicts)
        total, per_sample = _reduce(prediction, target, pairs, weight)
        return Loss(total, {}, per_sample)


def _reduce(prediction: Tensor, target: Tensor, pairs: Pairs, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    if prediction.shape != target.shape:
        raise InputError(
            f"the network returned {tuple(prediction.shape)} for points {tuple(target.shape)}: return one like x"
        )
    if weight is None and pairs.weight is None and pairs.mask is None:
        # one fused kernel each way; the mean of equal means is the mean of all
        total = F.mse_loss(prediction, target)
        return total, flat_mean(F.mse_loss(prediction.detach(), target, reduction="none"))
    error = (prediction - target).square()
    per_sample = flat_mean(error) if pairs.mask is None else _masked_mean(error, pairs.mask)
    if weight is not None:
        per_sample = _factor("the weighting", weight, per_sample) * per_sample
    if pairs.weight is None:
        return per_sample.mean(), per_sample.detach()
    importance = _factor("pairs.weight", pairs.weight, per_sample)
    return torch.dot(importance / importance.sum(), per_sample), per_sample.detach()


def _masked_mean(error: Tensor, mask: Tensor) -> Tensor:
    """Mean over the free entries of each row; zero for a row without any."""
    free = mask.expand_as(error).to(error.dtype).flatten(1)
    return (error.flatten(1) * free).sum(1) / free.sum(1).clamp(min=1)


def _factor(name: str, factor: Tensor, per_sample: Tensor) -> Tensor:
    # (B, 1) times (B,) would broadcast to (B, B), and train towards the wrong thing without a word
    if factor.shape != per_sample.shape:
        raise InputError(
            f"{name} has shape {tuple(factor.shape)}, wanted one number per sample, {tuple(per_sample.shape)}"
        )
    return factor.to(per_sample.dtype)


def _within(times: Times, interval: tuple[float, float]) -> Times:
    low, high = interval
    if (low, high) == (0.0, 1.0):
        return times
    width = high - low
    label = low + width * times.label
    moved = label if times.input is times.label else low + width * times.input
    return Times(label, moved, times.log_prob - math.log(width))
