"""The Brownian bridge between the ends of a pair: the path of Schroedinger bridges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Pairs, Path, PathPoint, Prediction, Times
from pushforward.errors import InputError
from pushforward.paths._known import hold_known
from pushforward.paths.conversions import check_prediction
from pushforward.tensors import bcast

__all__ = ["BrownianBridge"]


@dataclass(frozen=True)
class BrownianBridge(Path):
    """Join a pair by `x_t = mu_t + s_t z`, with `mu_t = (1 - t) x0 + t x1`, `s_t = sigma sqrt(t (1 - t))` and `z ~ N(0,
    I)` drawn by the path.

    Velocity `v = x1 - x0 + (1 - 2 t) / (2 t (1 - t)) (x - mu_t)`, conditional score `-(x - mu_t) / s_t^2`. Because the
    noise is the path's own, the score is right under every coupling. `dX = (v + sigma^2 score / 2) dt + sigma dW` has
    the same marginals as `dX = v dt`; with pairs from the entropic plan whose kernel is `exp(-|x0 - x1|^2 / (2
    sigma^2))` it is the Schroedinger bridge.

    The velocity grows like `(t (1 - t))^(-1/2)` at the ends, so training keeps to [0.001, 0.999]. One prediction does
    not determine another here (state, data and noise leave z free), so `convert` only passes a prediction through.
    """

    references: ClassVar[tuple[Reference, ...]] = (
        Reference(
            key="tong2023simulation",
            title='Simulation-free Schr{\\"o}dinger bridges via score and flow matching',
            authors="Alexander Tong and Nikolay Malkin and Kilian Fatras and Lazar Atanackovic and Yanlei Zhang "
            "and Guillaume Huguet and Guy Wolf and Yoshua Bengio",
            year=2023,
            arxiv="2307.03672",
        ),
    )
    sigma: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            raise InputError(f"BrownianBridge needs sigma > 0, got {self.sigma}: without noise use Affine()")

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity stays moderate."""
        return (1e-3, 1 - 1e-3)

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state and velocity of each pair at `times.input` in (0, 1); `z` is drawn from `generator`."""
        x0, x1, t = pairs.x0, pairs.x1, bcast(times.input, pairs.x1)
        z = torch.randn(x1.shape, generator=generator, dtype=x1.dtype, device=x1.device)
        line, spread = x1 - x0, (t * (1 - t)).sqrt()
        x = torch.addcmul(x0, t, line).addcmul_(spread, z, value=self.sigma)
        v = torch.addcmul(line, (0.5 - t) / spread, z, value=self.sigma)
        if pairs.mask is not None:
            x, v = hold_known(pairs.mask, x, v, x1)
        return PathPoint(times.label, x, v, x0, x1, z)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity, `x1`, `x0`, or the conditional score `-z / s_t` (under any coupling) at the label time
        of the point.
        """
        check_prediction(kind)
        if kind == "score":
            return self._score(point)
        return {"velocity": point.v, "data": point.x1, "noise": point.x0}[kind]

    def _score(self, point: PathPoint) -> Tensor:
        if point.z is None:
            raise InputError(
                "the score of a BrownianBridge needs the noise z of its point: take the point from BrownianBridge.point"
            )
        t = bcast(point.t, point.z)
        return -point.z / (self.sigma * (t * (1 - t)).sqrt())

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Return `value` when `src` is `dst`. Raises `InputError` for every other pair: a bridge's predictions do not
        determine each other.
        """
        check_prediction(src)
        check_prediction(dst)
        if src != dst:
            raise InputError(f"a BrownianBridge cannot turn {src} into {dst}: predict {dst} with its own network")
        return value
