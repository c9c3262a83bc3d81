"""Networks that predict a Gaussian mixture of velocities instead of their mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.contracts import ScheduleFn
from pushforward.errors import InputError
from pushforward.measures import MixtureBatch
from pushforward.networks.architecture import Architecture
from pushforward.networks.mlp import MLP
from pushforward.networks.policy import MixturePolicy, expected_targets

__all__ = ["MixtureHead", "MixtureLaw"]

SMALLEST = 1e-4
"""The deviation of a component is at least this, so that no likelihood is infinite."""


@dataclass(frozen=True)
class MixtureHead(Architecture):
    """Predict `components` Gaussians of velocities with their weights and one common deviation s: the law `q(v | x_t) =
    sum_k A_k N(v; mu_k, s^2 I)`.

    For images there is a mixture at every pixel, joint over its channels; vectors have one. All of it comes from the
    heads of one `network`. Means start spread like N(0, I) numbers, because equal components would stay equal. Trained
    by `objectives.TransitionLikelihood`; as a velocity field it is the mean.

    >>> law = MixtureHead(4, MLP(width=8)).build((2,), {})
    >>> law.mixture(torch.zeros(5, 2), torch.zeros(5)).means.shape
    torch.Size([5, 4, 2])
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "chen2025gaussian",
            "Gaussian Mixture Flow Matching Models",
            "Chen, Hansheng and Zhang, Kai and Tan, Hao and Xu, Zexiang and Luan, Fujun and Guibas, Leonidas and "
            "Wetzstein, Gordon and Bi, Sai",
            2025,
            arxiv="2504.05304",
        ),
    )
    components: int = 8
    network: Architecture = field(default_factory=MLP)

    def __post_init__(self) -> None:
        if self.components < 1:
            raise InputError(f"MixtureHead needs at least one component, got {self.components}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network. Raises `InputError` for other heads than the velocity."""
        if heads != 1:
            raise InputError(f"MixtureHead predicts the velocity alone, not {heads} things")
        channels = event_shape[0]
        extra = math.ceil((self.components + 1) / channels)  # logits, and the logarithm of the deviation
        return MixtureLaw(self.network.build(event_shape, schema, self.components + extra), self.components, channels)


class MixtureLaw(nn.Module):
    """A law of the velocity made of the heads of a `network`: those of the means, and channels for the rest."""

    def __init__(self, network: nn.Module, components: int, channels: int) -> None:
        super().__init__()
        self.network, self.components, self.channels = network, components, channels
        self.velocities = components
        self.offsets = nn.Parameter(torch.randn(components, channels))

    def mixture(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> MixtureBatch:
        """Return the mixtures at `x: (B, C, *rest)`, `t: (B,)`, from one evaluation of the network."""
        k, c = self.components, self.channels
        value = self.network(x, t, condition)
        means = value[:, : k * c].unflatten(1, (k, c))
        logits, log_deviation = value[:, k * c : k * c + k], value[:, k * c + k]
        offsets = self.offsets.to(means).reshape(1, k, c, *([1] * (means.ndim - 3)))
        deviation = log_deviation.reshape(len(x), -1).mean(1).exp().clamp(min=SMALLEST)
        return MixtureBatch(logits, means + offsets, deviation.square())

    def policy(
        self, x: Tensor, s: Tensor, e: Tensor, schedule: ScheduleFn, condition: Condition | None = None
    ) -> MixturePolicy:
        """Return the policy that the mixture at the states `x` at time s is, good for any later time."""
        anchor = schedule(s)
        targets = self.mixture(x, s, condition).affine(*expected_targets(x, anchor))
        return MixturePolicy(targets, x, anchor, schedule)

    def sample(
        self, x: Tensor, t: Tensor, condition: Condition | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw one velocity for each row: `(B, C, *rest)`."""
        return self.mixture(x, t, condition).sample(generator=generator)

    def mean(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected velocity: `(B, C, *rest)`."""
        return self.mixture(x, t, condition).mean()

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `mean`, what a field makes of the network."""
        return self.mean(x, t, condition)
