"""A field: a network, and what it predicts."""

from __future__ import annotations

from torch import Tensor, nn

from pushforward.conditions import Condition, Schema
from pushforward.configuration import Recorded
from pushforward.contracts import Path, Prediction
from pushforward.errors import InputError
from pushforward.networks.architecture import Architecture

__all__ = ["Field"]

MARGIN = 1e-3
"""Conversions that divide by a coefficient which vanishes at an end of the path are evaluated this far from it."""


class Field(Recorded, nn.Module):
    """A network together with the path it was trained on and what it `predicts`: velocity, data, noise or score.

    `forward` is the raw prediction; `velocity`, `data`, `noise` and `score` convert it through the path. Scores exist
    only where the source is exactly N(0, I) given the target and the condition (`gaussian_source`), or the path has
    noise of its own; elsewhere asking raises `InputError`.

    Times are clamped to `path.interval`. A conversion that divides by sigma (from data, or to the score) is evaluated
    at most at t = 1 - 1e-3, one that divides by alpha (from noise or score) at least at t = 1e-3: the network and the
    conversion both see that time, so the result is the prediction frozen over the margin, not one that blows up.

    `network` is an `Architecture`, built here, or any module with `forward(x, t, condition)`. A trainable path is part
    of the field's parameters.
    """

    def __init__(
        self,
        network: Architecture | nn.Module,
        path: Path,
        event_shape: tuple[int, ...],
        schema: Schema,
        predicts: Prediction = "velocity",
        gaussian_source: bool = False,
    ) -> None:
        super().__init__()
        if predicts not in ("velocity", "data", "noise", "score"):
            raise InputError(f"predicts is {predicts!r}, wanted 'velocity', 'data', 'noise' or 'score'")
        self.event_shape, self.schema = tuple(event_shape), schema
        self.predicts: Prediction = predicts
        self.gaussian_source = gaussian_source
        self.path = path
        self.network = network.build(self.event_shape, schema) if isinstance(network, Architecture) else network

    def forward(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return what the network predicts at `x: (B, *event)`, `t: (B,)`, shaped like x."""
        return self.network(x, t, condition)

    def velocity(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return dx/dt at `(x, t)`."""
        return self._convert(("velocity",), x, t, condition)[0]

    def data(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected target point given `(x, t)`."""
        return self._convert(("data",), x, t, condition)[0]

    def noise(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the expected source point given `(x, t)`."""
        return self._convert(("noise",), x, t, condition)[0]

    def score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> Tensor:
        """Return the gradient of the log-density at `(x, t)`. Raises `InputError` where the source is not N(0, I) given
        the target.
        """
        return self._convert(("score",), x, t, condition)[0]

    def velocity_and_score(self, x: Tensor, t: Tensor, condition: Condition | None = None) -> tuple[Tensor, Tensor]:
        """Return both from one evaluation of the network, as stochastic solvers need them."""
        velocity, score = self._convert(("velocity", "score"), x, t, condition)
        return velocity, score

    def _convert(
        self, kinds: tuple[Prediction, ...], x: Tensor, t: Tensor, condition: Condition | None
    ) -> list[Tensor]:
        bounds = [_safe_interval(self.path.interval, self.predicts, kind) for kind in kinds]
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        if (low, high) != (0.0, 1.0):  # the common case costs nothing
            t = t.clamp(low, high)
        value, known = self.network(x, t, condition), self.gaussian_source
        return [
            value if kind == self.predicts
            else self.path.convert(value, x, t, self.predicts, kind, gaussian_source=known)
            for kind in kinds
        ]  # fmt: skip


def _safe_interval(interval: tuple[float, float], src: Prediction, dst: Prediction) -> tuple[float, float]:
    low, high = interval
    if src == dst:
        return interval
    if src in ("noise", "score"):
        low = max(low, MARGIN)
    if src == "data" or dst == "score":
        high = min(high, 1 - MARGIN)
    return low, high
