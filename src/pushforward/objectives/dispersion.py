"""Losses that drive the features of a batch apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["CovarianceDispersion", "Dispersion", "HingeDispersion", "InfoNCECosine", "InfoNCEL2"]


class Dispersion(ABC):
    """A loss that is less the farther the features of different rows lie apart. It needs no labels and no positive
    pairs.
    """

    @abstractmethod
    def __call__(self, features: Tensor) -> Tensor:
        """Return the loss, one number, of `features: (B, k)`."""


@dataclass(frozen=True)
class InfoNCEL2(Dispersion):
    """`log mean_ij exp(-|h_i - h_j|^2 / temperature)`: 0 for equal features, `-log B` at least.

    With `relative` distances are divided by the largest of the batch: then features gain nothing from mere growth, and
    the loss stays above `-1 / temperature`.
    """

    temperature: float = 1.0
    relative: bool = True

    def __post_init__(self) -> None:
        _check_positive("temperature", self.temperature)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the loss."""
        distances = squared_distances(features)
        if self.relative:
            distances = distances / distances.max().clamp(min=torch.finfo(distances.dtype).eps)
        return _log_mean_exp(-distances / self.temperature)


@dataclass(frozen=True)
class InfoNCECosine(Dispersion):
    """`log mean_ij exp(cos(h_i, h_j) / temperature)`: directions alone count."""

    temperature: float = 0.5

    def __post_init__(self) -> None:
        _check_positive("temperature", self.temperature)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the loss."""
        directions = F.normalize(features, dim=1)
        return _log_mean_exp(directions @ directions.T / self.temperature)


@dataclass(frozen=True)
class HingeDispersion(Dispersion):
    """`mean_ij max(0, margin - |h_i - h_j|^2)^2`: rows that are far enough apart are left alone."""

    margin: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("margin", self.margin)

    def __call__(self, features: Tensor) -> Tensor:
        """Return the loss."""
        return F.relu(self.margin - squared_distances(features)).square().mean()


@dataclass(frozen=True)
class CovarianceDispersion(Dispersion):
    """`sum_{m != n} Cov(h_m, h_n)^2` over pairs of entries of the features, each row scaled to unit length: entries
    that tell the same are driven apart, rather than rows.
    """

    def __call__(self, features: Tensor) -> Tensor:
        """Return the loss."""
        covariance = F.normalize(features, dim=1).T.cov(correction=0)
        return (covariance - covariance.diagonal().diag()).square().sum()


def squared_distances(features: Tensor) -> Tensor:
    """Return `|h_i - h_j|^2` of `features: (B, k)`: `(B, B)`; its gradient is finite where rows agree."""
    # centred first: large common offsets would leave nothing of small differences
    centred = features - features.detach().mean(0)
    norms = centred.square().sum(1)
    return (norms[:, None] + norms - 2 * centred @ centred.T).clamp(min=0)


def _log_mean_exp(values: Tensor) -> Tensor:
    return values.flatten().logsumexp(0) - math.log(values.numel())


def _check_positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"the {name} of a dispersion is positive, got {value}")
