"""Encoders of conditions: a Gaussian in the space of points for each condition, and what tells whether points fit."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.networks.embedding import ConditionEmbedding

__all__ = ["Agreement", "Encoding", "VariationalEncoder"]

FIRST_TEMPERATURE = 0.1


class Encoding(NamedTuple):
    """The law N(mean, diag(exp(log_variance))) of where a condition starts: both `(B, *event)`."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, noise: Tensor) -> Tensor:
        """Return the point that the standard normal `noise: (B, *event)` becomes."""
        return torch.addcmul(self.mean, (self.log_variance / 2).exp(), noise)


class VariationalEncoder(nn.Module):
    """A multilayer perceptron from conditions to the mean and the log-variance of a Gaussian over points.

    `depth` hidden layers of `width` units on the condition's embedding. The last layer starts at zero: every condition
    is N(0, I) at first.
    """

    def __init__(self, event_shape: tuple[int, ...], schema: Schema, width: int, depth: int) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.embedding = ConditionEmbedding(schema, width)
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth - 1))
        self.last = nn.Linear(width, 2 * math.prod(event_shape))
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, condition: Condition | None, rows: int) -> Encoding:
        """Return the law of each row's start."""
        h = F.gelu(self.embedding(condition, rows))
        for layer in self.hidden:
            h = F.gelu(layer(h))
        mean, log_variance = self.last(h).reshape(rows, 2, *self.event_shape).unbind(1)
        return Encoding(mean, log_variance)


class Agreement(nn.Module):
    """How well starts and points go together: cosines of `features` numbers learned of each, over a temperature.

    `loss` is the symmetric cross-entropy of telling, in a batch, which point belongs to which start and the other way
    round (InfoNCE, as CLIP). Its negative plus `log B` is a lower bound on their mutual information.
    """

    def __init__(self, event_shape: tuple[int, ...], width: int, features: int) -> None:
        super().__init__()
        size = math.prod(event_shape)
        self.start, self.point = (
            nn.Sequential(nn.Linear(size, width), nn.GELU(), nn.Linear(width, features)) for _ in range(2)
        )
        self.log_temperature = nn.Parameter(torch.tensor(math.log(FIRST_TEMPERATURE)))

    def forward(self, z: Tensor, x1: Tensor) -> Tensor:
        """Return how row i of the starts `z: (B, *event)` goes with row j of the points `x1`: `(B, B)`."""
        start, point = F.normalize(self.start(z.flatten(1)), dim=1), F.normalize(self.point(x1.flatten(1)), dim=1)
        return start @ point.mT * (-self.log_temperature).exp().clamp(max=100)

    def loss(self, z: Tensor, x1: Tensor, own: Tensor | None = None) -> Tensor:
        """Return the mean cross-entropy of the rows; of those where `own: (B,)` if only these are pairs that belong
        together. The others serve as what they do not belong to.
        """
        logits, rows = self(z, x1), torch.arange(len(z), device=z.device)
        found, owner = (F.cross_entropy(each, rows, reduction="none") for each in (logits, logits.mT))
        losses = (found + owner) / 2
        return losses.mean() if own is None else (losses * own).sum() / own.sum().clamp(min=1)
