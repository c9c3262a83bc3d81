"""Weightings: how much each time counts, said once for every prediction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients, Path, Prediction, Times
from pushforward.errors import InputError
from pushforward.objectives.time import LogitNormal, TimeLaw
from pushforward.papers import CONSTANT_ACCELERATION, ELUCIDATED_DIFFUSION
from pushforward.paths import Affine

__all__ = [
    "P2", "DataWeighting", "DensityAsWeight", "Displacement", "EDMWeight", "ImportanceCorrected", "Likelihood",
    "MinSNR", "Sigmoid", "Unweighted", "Weighting", "effective_data_weight", "error_factor",
]  # fmt: skip


def coefficients(path: Path, t: Tensor) -> Coefficients:
    """Return alpha, sigma and their derivatives at t. Raises `InputError` for a path that is not affine."""
    if not isinstance(path, Affine):
        raise InputError(f"weightings by noise level need an affine path, got {type(path).__name__}: use Unweighted")
    return path.schedule(t)


def error_factor(c: Coefficients, predicts: Prediction) -> Tensor:
    """Return by how much an error in the predicted data appears in another prediction: `|d prediction| = factor |d
    x1|`, `(B,)`.

    Velocity and drift `Delta / sigma`, noise and denoiser `alpha / sigma`, score `alpha / sigma^2`, data 1.
    """
    if predicts in ("velocity", "drift"):
        return c.delta / c.sigma
    if predicts == "data":
        return torch.ones_like(c.alpha)
    return c.alpha / c.sigma if predicts in ("noise", "denoiser") else c.alpha / c.sigma.square()


def effective_data_weight(weighting: Weighting, law: TimeLaw, path: Path, predicts: Prediction, t: Tensor) -> Tensor:
    """Return `W(t) = p(t) w(t) (error factor)^2`, the weight of the squared error in the data at time t: `(B,)`.

    Two objectives with the same W have the same expected loss, whatever they predict and however they draw their times.
    """
    log_prob = law.log_prob(t)
    weight = weighting(Times(t, t, log_prob), path, predicts)
    density = log_prob.exp() if weight is None else log_prob.exp() * weight
    return density * error_factor(coefficients(path, t), predicts).square()


class Weighting(ABC):
    """A weight w(t) on the squared error of what the network predicts."""

    @abstractmethod
    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor | None:
        """Return w at the label times, `(B,)`; `None` says one everywhere, at no cost."""


@dataclass(frozen=True)
class Unweighted(Weighting):
    """The plain mean of the squared error of the network's own prediction."""

    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor | None:
        """Return `None`: one everywhere."""
        return None


@dataclass(frozen=True)
class Displacement(Weighting):
    """The plain squared error of the displacement `x1 - x0`, whatever is predicted: `1 / sigma^2` on the data error,
    `1 / Delta^2` on that of the velocity. On straight paths at a changing speed, slow times count as much as fast ones.
    """

    references: ClassVar[tuple[Reference, ...]] = (CONSTANT_ACCELERATION,)

    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor | None:
        """Return the weights. Raises `InputError` for a path that is not affine."""
        c = coefficients(path, times.label)
        factor = c.delta if predicts in ("velocity", "drift") else c.sigma * error_factor(c, predicts)
        return factor.square().reciprocal()


class DataWeighting(Weighting):
    """A weight that its paper states for the error in the data; divided by the square of `error_factor` for other
    predictions.
    """

    @abstractmethod
    def data_weight(self, c: Coefficients) -> Tensor:
        """Return the weight of the squared error in the data: `(B,)`."""

    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor:
        """Return w at the label times, `(B,)`. Raises `InputError` for a path that is not affine."""
        c = coefficients(path, times.label)
        weight = self.data_weight(c)
        return weight if predicts == "data" else weight / error_factor(c, predicts).square()


@dataclass(frozen=True)
class MinSNR(DataWeighting):
    """`min(SNR, gamma)` on the data error, with `SNR = alpha^2 / sigma^2`: times compete less near the data."""

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "hang2023efficient",
            "Efficient Diffusion Training via Min-SNR Weighting Strategy",
            "Hang, Tiankai and Gu, Shuyang and Li, Chen and Bao, Jianmin and others",
            2023,
            arxiv="2303.09556",
        ),
    )
    gamma: float = 5.0

    def data_weight(self, c: Coefficients) -> Tensor:
        """Return `min(SNR, gamma)`."""
        return _snr(c).clamp(max=self.gamma)


@dataclass(frozen=True)
class P2(DataWeighting):
    """`(k + SNR)^-gamma` on the noise error, which is `SNR (k + SNR)^-gamma` on the data error: less weight on
    imperceptible detail.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "choi2022perception",
            "Perception Prioritized Training of Diffusion Models",
            "Choi, Jooyoung and Lee, Jungbeom and Shin, Chaehun and Kim, Sungwon and Kim, Hyunwoo and Yoon, Sungroh",
            2022,
            arxiv="2204.00227",
        ),
    )
    k: float = 1.0
    gamma: float = 1.0

    def data_weight(self, c: Coefficients) -> Tensor:
        """Return `SNR (k + SNR)^-gamma`."""
        snr = _snr(c)
        return snr * (self.k + snr).pow(-self.gamma)


@dataclass(frozen=True)
class EDMWeight(DataWeighting):
    """`(s^2 + sigma_data^2) / (s sigma_data)^2` on the data error, with the noise level `s = sigma / alpha`."""

    references: ClassVar[tuple[Reference, ...]] = (ELUCIDATED_DIFFUSION,)
    sigma_data: float = 0.5

    def data_weight(self, c: Coefficients) -> Tensor:
        """Return `1 / sigma_data^2 + SNR`, the same in fewer terms."""
        return _snr(c) + self.sigma_data**-2


@dataclass(frozen=True)
class Likelihood(DataWeighting):
    """The weight of the likelihood bound, `SNR' / 2 = alpha Delta / sigma^3` on the data error: infinite at the data
    end.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "kingma2021variational",
            "Variational Diffusion Models",
            "Kingma, Diederik P. and Salimans, Tim and Poole, Ben and Ho, Jonathan",
            2021,
            arxiv="2107.00630",
        ),
    )

    def data_weight(self, c: Coefficients) -> Tensor:
        """Return `alpha Delta / sigma^3`."""
        return c.alpha * c.delta / c.sigma.pow(3)


@dataclass(frozen=True)
class Sigmoid(DataWeighting):
    """The likelihood's weight times `sigmoid(b - log SNR)`: no more than the likelihood where noise rules, bounded
    detail near the data.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "kingma2023understanding",
            "Understanding Diffusion Objectives as the ELBO with Simple Data Augmentation",
            "Kingma, Diederik P. and Gao, Ruiqi",
            2023,
            arxiv="2303.00848",
        ),
        Reference(
            "hoogeboom2024simpler",
            "Simpler Diffusion (SiD2): 1.5 FID on ImageNet512 with pixel-space diffusion",
            "Hoogeboom, Emiel and Mensink, Thomas and Heek, Jonathan and others",
            2024,
            arxiv="2410.19324",
        ),
    )
    b: float = 2.0

    def data_weight(self, c: Coefficients) -> Tensor:
        """Return `sigmoid(b - log SNR) alpha Delta / sigma^3`."""
        return torch.sigmoid(self.b - _snr(c).log()) * Likelihood().data_weight(c)


@dataclass(frozen=True)
class DensityAsWeight(Weighting):
    """Weight by the density of a time law: with uniform times, the same expected loss as drawing from that law."""

    law: TimeLaw = field(default_factory=LogitNormal)

    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor:
        """Return p(t) of the law, `(B,)`."""
        return self.law.log_prob(times.label).exp()


@dataclass(frozen=True)
class ImportanceCorrected(Weighting):
    """Divide another weighting by the density the times were drawn from: the expected loss is that of uniform times,
    whatever the law.

    The law must reach every time, and its density should not vanish at an end, where the weights would have infinite
    variance.
    """

    weighting: Weighting = field(default_factory=Unweighted)

    def __call__(self, times: Times, path: Path, predicts: Prediction) -> Tensor:
        """Return `w(t) / p(t)`, `(B,)`."""
        weight = self.weighting(times, path, predicts)
        correction = (-times.log_prob).exp()
        return correction if weight is None else weight * correction


def _snr(c: Coefficients) -> Tensor:
    return (c.alpha / c.sigma).square()
