"""The two-layer denoiser with a skip connection of the theory of learned flows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture

__all__ = ["SkipAutoencoder"]


@dataclass(frozen=True)
class SkipAutoencoder(Architecture):
    """`f(x, t) = c_t x + w_t tanh(w_t . x)` with its own number `c_t` and vector `w_t` for each of `times` equal cells
    of time: the optimal denoiser of a balanced mixture of two Gaussians in many dimensions, when it predicts the data.

    Train it at the times `Discrete(times)` and sample with as many Euler steps. Conditions are ignored.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "cui2024analysis",
            "Analysis of learning a flow-based generative model from limited sample complexity",
            "Cui, Hugo and Krzakala, Florent and Vanden-Eijnden, Eric and Zdeborová, Lenka",
            2024,
            arxiv="2310.03575",
            venue="International Conference on Learning Representations",
        ),
    )
    times: int = 200

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"SkipAutoencoder needs at least one cell of time, got {self.times}")

    def build(self, event_shape: tuple[int, ...], schema: Schema, heads: int = 1) -> nn.Module:
        """Return the network, for points of any shape. Raises `InputError` for more than one head."""
        if heads != 1:
            raise InputError(f"SkipAutoencoder predicts one thing, not {heads}")
        return _SkipAutoencoderModule(self.times, math.prod(event_shape))


class _SkipAutoencoderModule(nn.Module):
    def __init__(self, times: int, size: int) -> None:
        super().__init__()
        self.skip = nn.Parameter(torch.zeros(times))
        self.weight = nn.Parameter(torch.randn(times, size) / math.sqrt(size))

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """`(B, *event), (B,) -> (B, *event)`."""
        # half a cell's rounding is allowed for: k / times may come out below itself
        cell = (t * len(self.skip) + 1e-3).floor().long().clamp(0, len(self.skip) - 1)
        flat, weight = x.flatten(1), self.weight[cell]
        overlap = torch.tanh((weight * flat).sum(1, keepdim=True))
        return (self.skip[cell, None] * flat + weight * overlap).reshape(x.shape)
