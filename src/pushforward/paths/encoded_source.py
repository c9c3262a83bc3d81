"""CrossFlow: the encoded condition is where the flow starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from pushforward.citations import Reference
from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Pairs, PathPoint, Times
from pushforward.ends import Chained, End
from pushforward.errors import InputError
from pushforward.networks import Agreement, Encoding, VariationalEncoder
from pushforward.papers import CROSSFLOW
from pushforward.paths.affine import Affine
from pushforward.paths.within import WithoutScores

__all__ = ["EncodedSource"]


class EncodedSource(Recorded, nn.Module, WithoutScores):
    """Start from the condition c itself: `x_t = alpha_t x1 + sigma_t z` with `z = mu(c) + s(c) x0`, for source noise
    x0, a learned encoder of c into the space of the points.

    The network sees the state and is told no condition, but for those that have a default (the indicator of
    `couplings.NullTargets`). The loss is differentiated through z: train with `objectives.CrossFlow`, whose further
    terms keep z spread out and telling of its target; without them the encoder may collapse. With `variational=False`
    it is deterministic, `z = mu(c)`, and one condition starts at one point only.

    A flow moves the starts of all conditions at once, so a condition reaches its own targets as far as starts lie
    apart. `push` and `log_prob` take noise and a condition as ever; `pull` gives the noise back. The encoder has
    `depth` layers of `width` units; `features` is the size of what it is held against its targets by. Raises
    `InputError` where there is no condition, and for scores: z given the condition is not N(0, I).
    """

    references: ClassVar[tuple[Reference, ...]] = (CROSSFLOW,)

    def __init__(
        self,
        width: int = 64,
        depth: int = 2,
        features: int = 16,
        variational: bool = True,
        path: Affine | None = None,
    ) -> None:
        """Hold the sizes, and the path from z to the target (by default `Affine()`)."""
        super().__init__()
        if min(width, depth, features) < 1:
            raise InputError(f"EncodedSource needs positive sizes, got {width}, {depth} and {features}")
        self.width, self.depth, self.features = width, depth, features
        self.variational, self.path = variational, path or Affine()
        self.encoder: VariationalEncoder | None = None
        self.agreement: Agreement | None = None

    def told(self, schema: Schema) -> Schema:
        """Return the conditions that have a default, which are not encoded."""
        return {name: column for name, column in schema.items() if column.default is not None}

    def built(self, event_shape: tuple[int, ...], schema: Schema) -> EncodedSource:
        """Return the path with its encoder. Raises `InputError` where there is nothing to encode."""
        encoded = {name: column for name, column in schema.items() if column.default is None}
        if not encoded:
            raise InputError("EncodedSource starts from a condition, but there is none")
        path = EncodedSource(self.width, self.depth, self.features, self.variational, self.path)
        path.encoder = VariationalEncoder(event_shape, encoded, self.width, self.depth)
        path.agreement = Agreement(event_shape, self.width, self.features)
        return path

    def encoding(self, condition: Condition | None, rows: int) -> Encoding:
        """Return the law of the start of each row, before the noise of a deterministic encoder is left out."""
        return self._parts()[0](condition, rows)

    def start(self, x0: Tensor, condition: Condition | None) -> Tensor:
        """Return `z: (B, *event)` for the noise `x0` and the condition of each row."""
        encoding = self.encoding(condition, len(x0))
        return encoding.draw(x0) if self.variational else encoding.mean

    def contrast(self, z: Tensor, x1: Tensor, own: Tensor | None = None) -> Tensor:
        """Return how badly starts and targets, `(B, *event)`, tell each other, for the rows `own: (B,)`: a scalar."""
        return self._parts()[1].loss(z, x1, own)

    @property
    def source_end(self) -> End:
        """The encoder applied to noise, then what the affine path makes of z."""
        return Chained(_Encoded(self), self.path.source_end)

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state between z and the target of each pair, and its velocity; gradients reach the encoder."""
        return self.path.point(replace(pairs, x0=self.start(pairs.x0, pairs.condition)), times)

    def _parts(self) -> tuple[VariationalEncoder, Agreement]:
        if self.encoder is None or self.agreement is None:
            raise InputError("EncodedSource has no encoder yet: a Field builds it")
        return self.encoder, self.agreement


@dataclass(frozen=True)
class _Encoded(End):
    """From noise to the start z of its condition."""

    path: EncodedSource

    def encode(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `mu(c) + s(c) x`."""
        return self.path.start(x, condition)

    def decode(self, state: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `(z - mu(c)) / s(c)`. Raises `InputError` for a deterministic encoder."""
        self._check()
        encoding = self.path.encoding(condition, len(state))
        return (state - encoding.mean) * (-encoding.log_variance / 2).exp()

    def log_volume(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """Return `sum log s(c)`. Raises `InputError` for a deterministic encoder."""
        self._check()
        return self.path.encoding(condition, len(x)).log_variance.flatten(1).sum(1) / 2

    def _check(self) -> None:
        if not self.path.variational:
            raise InputError("a deterministic encoder forgets the noise: there is no way back, and no density")
