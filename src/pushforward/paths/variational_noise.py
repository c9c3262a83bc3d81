"""A learnt coupling of noise and data: which noise a point comes from, told by an encoder."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Column, Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Pairs, PathPoint, Times
from pushforward.errors import InputError
from pushforward.networks import Encoding, VariationalEncoder
from pushforward.paths.affine import Affine
from pushforward.paths.within import WithoutScores

__all__ = ["VariationalNoise"]

POINT = "the point"


class VariationalNoise(Recorded, nn.Module, WithoutScores):
    """Join each target point to noise of its own: `x_t = alpha_t x1 + sigma_t z` with `z = mu(x1) + s(x1) x0`, for
    source noise x0 and a learnt encoder (mu, s) of the point, and of its condition if there is one; never of the time.

    Paths that start where their targets belong cross less, and what is learnt from single pairs varies less. The loss
    is differentiated through z; `objectives.NoiseDivergence` holds the noise of all points together near the N(0, I)
    that sampling starts from: without it the encoder would tell the point. Before training it is N(0, I) for every
    point. The encoder has `depth` layers of `width` units. Raises `InputError` for a source that is not independent
    noise, and for scores: z given the point is not N(0, I).
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            "silvestri2025vct",
            "VCT: Training Consistency Models with Variational Noise Coupling",
            "Silvestri, Gianluigi and Ambrogioni, Luca and Lai, Chieh-Hsin and Takida, Yuhta and Mitsufuji, Yuki",
            2025,
            arxiv="2502.18197",
            venue="International Conference on Machine Learning",
        ),
    )

    def __init__(self, width: int = 64, depth: int = 2, path: Affine | None = None) -> None:
        """Hold the sizes of the encoder, and the path from z to the target (by default `Affine()`)."""
        super().__init__()
        if min(width, depth) < 1:
            raise InputError(f"VariationalNoise needs positive sizes, got {width} and {depth}")
        self.width, self.depth, self.path = width, depth, path or Affine()
        self.encoder: VariationalEncoder | None = None

    def built(self, event_shape: tuple[int, ...], schema: Schema) -> VariationalNoise:
        """Return the path with its encoder."""
        path = VariationalNoise(self.width, self.depth, self.path)
        seen = schema | {POINT: Column(None, math.prod(event_shape))}
        path.encoder = VariationalEncoder(event_shape, seen, self.width, self.depth)
        return path

    def encoding(self, x1: Tensor, condition: Condition | None) -> Encoding:
        """Return the law of the noise of each point `x1: (B, *event)`."""
        if self.encoder is None:
            raise InputError("VariationalNoise has no encoder yet: a Field builds it")
        return self.encoder((condition or {}) | {POINT: x1.flatten(1)}, len(x1))

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state between the noise of each point and the point; gradients reach the encoder."""
        if not pairs.gaussian_source:
            raise InputError("VariationalNoise pairs noise itself: it needs a source N(0, I), and independent pairs")
        z = self.encoding(pairs.x1, pairs.condition).draw(pairs.x0)
        return self.path.point(replace(pairs, x0=z), times)
