"""The one regression engine: what a network said, held against what it should have said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.contracts import Loss, Pairs, Prediction
from pushforward.errors import InputError
from pushforward.objectives.distance import Distance, SquaredError
from pushforward.tensors import flat_mean

__all__ = ["Regression"]


@dataclass(frozen=True)
class Regression:
    """What a network said about a batch and what it should have said: `prediction: (B, heads C, *rest)` and a target
    `(B, C, *rest)` for each head, of the `kinds` that it predicts, with the weights of each `(B,)`.
    """

    prediction: Tensor
    targets: tuple[Tensor, ...]
    pairs: Pairs
    weights: tuple[Tensor | None, ...]
    kinds: tuple[Prediction, ...]
    distance: Distance = field(default_factory=SquaredError)

    def against(self, rows: Tensor) -> Regression:
        """Return the same predictions held against the targets of other rows: `(B,)` row numbers."""
        return replace(self, targets=tuple(target[rows] for target in self.targets))

    def split(self, last: int) -> tuple[Regression, Regression]:
        """Return the regression of all channels but the `last` ones, and of those alone."""
        by_head = self.prediction.unflatten(1, (len(self.kinds), -1))
        parts = (slice(None, -last), slice(-last, None))
        first, second = (
            replace(self, prediction=by_head[:, :, part].flatten(1, 2), targets=tuple(y[:, part] for y in self.targets))
            for part in parts
        )
        return first, second

    def loss(self) -> Loss:
        """Return the error, averaged over the free entries of each row, the rows by the weights of their pairs,
        and the heads; `per_sample` is weighted by time and not by pair, and detached. Raises `InputError` for factors
        or predictions of a wrong shape.
        """
        prediction, pairs, kinds = self.prediction, self.pairs, self.kinds
        target = self.targets[0] if len(self.targets) == 1 else torch.cat(self.targets, 1)
        if prediction.shape != target.shape:
            wanted = f"{tuple(target.shape)}, one like x for each of {', '.join(kinds)}"
            raise InputError(f"the network returned {tuple(prediction.shape)}, wanted {wanted}")
        plain = isinstance(self.distance, SquaredError) and pairs.weight is None and pairs.mask is None
        if len(kinds) == 1 and self.weights[0] is None and plain:
            # one fused kernel each way; the mean of equal means is the mean of all
            total = F.mse_loss(prediction, target)
            return Loss(total, {}, flat_mean(F.mse_loss(prediction.detach(), target.detach(), reduction="none")))
        losses = torch.stack([_weighted(e, weight) for e, weight in zip(self.errors(), self.weights, strict=True)])
        by_head = pairs.mean(losses)
        terms: dict[str, Tensor] = {}
        if len(kinds) > 1:
            terms.update(zip(kinds, by_head.detach().unbind(), strict=True))
        return Loss(by_head.mean(), terms, losses.detach().mean(0))

    def errors(self) -> list[Tensor]:
        """Return the distance of each head from its target, averaged over the free entries of each row: `(B,)`."""
        predictions, mask = self.prediction.chunk(len(self.targets), 1), self.pairs.mask
        differences = [value - target for value, target in zip(predictions, self.targets, strict=True)]
        if mask is None:
            return [flat_mean(self.distance(difference)) for difference in differences]
        return [_over_free(self.distance(difference * mask), mask) for difference in differences]


def _weighted(per_sample: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return per_sample
    # (B, 1) times (B,) would broadcast to (B, B), and train towards the wrong thing without a word
    if weight.shape != per_sample.shape:
        wanted = f"one number per sample, {tuple(per_sample.shape)}"
        raise InputError(f"the weighting has shape {tuple(weight.shape)}, wanted {wanted}")
    return weight.to(per_sample.dtype) * per_sample


def _over_free(error: Tensor, mask: Tensor) -> Tensor:
    """Sum of errors that are zero where nothing is free, over the number of free entries of each row; zero for a row
    without any.
    """
    free = mask.expand_as(error).to(error.dtype).flatten(1)
    return error.flatten(1).sum(1) / free.sum(1).clamp(min=1)
