"""Stochastic interpolants: the ends of a pair joined through noise of the path's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from pushforward.citations import Reference
from pushforward.contracts import Coefficients, Pairs, Path, PathPoint, Times
from pushforward.errors import InputError
from pushforward.papers import STOCHASTIC_INTERPOLANTS
from pushforward.paths._known import hold_known
from pushforward.paths.blend import Blend, LinearBlend
from pushforward.paths.conversions import conversion
from pushforward.paths.gamma import BrownianGamma, Gamma, Spread
from pushforward.predictions import Prediction, check_prediction
from pushforward.tensors import bcast

__all__ = ["Interpolant"]

_WITH_ONE_END: tuple[Prediction, ...] = ("velocity", "denoiser", "score")


@dataclass(frozen=True)
class Interpolant(Path):
    """Join a pair by `x_t = I_t + gamma_t z` with `I_t = a_t x0 + b_t x1` and `z ~ N(0, I)` drawn by the path.

    With the means given the state `drift = E[dI/dt]` and `denoiser = E[z]`: the velocity is `drift + gamma' denoiser`
    and the score `-denoiser / gamma`, under every coupling because the noise is the path's own. So velocity and drift
    convert into each other with the help of a second prediction, denoiser or score, and all of them give data and
    noise; denoiser and score convert alone. Where the blend has one end at a time (`Mirror`, `EncodingDecoding`)
    velocity, denoiser and score convert alone too. Anything else raises `InputError`.

    `dX = (v + eps^2 score / 2) dt + eps dW` has the same marginals as `dX = v dt` for every `eps(t)`. The one-sided
    interpolant, whose source is N(0, I) and plays z, is `Affine`; so is every interpolant without noise.

    >>> path = Interpolant()
    >>> x, t = torch.zeros(1, 2), torch.tensor([0.5])
    >>> path.convert(torch.ones(1, 2), x, t, "denoiser", "score")
    tensor([[-2., -2.]])
    """

    references: ClassVar[tuple[Reference, ...]] = (STOCHASTIC_INTERPOLANTS,)
    blend: Blend = field(default_factory=LinearBlend)
    gamma: Gamma = field(default_factory=BrownianGamma)

    def __post_init__(self) -> None:
        refusal = self.blend.refusal(self.gamma)
        if refusal:
            raise InputError(refusal)

    @property
    def interval(self) -> tuple[float, float]:
        """Times between which the velocity stays moderate."""
        return self.gamma.interval

    def coefficients(self, t: Tensor) -> tuple[Coefficients, Spread]:
        """Return the weights of the ends (`alpha = b` of x1, `sigma = a` of x0) and the noise at `t: (B,)`."""
        spread = self.gamma(t)
        return self.blend(t, spread), spread

    def point(self, pairs: Pairs, times: Times, *, generator: torch.Generator | None = None) -> PathPoint:
        """Return the state of each pair at `times.input` and its velocity at `times.label`; `z` is drawn from
        `generator`. Entries outside `pairs.mask` stay at `x1` and have velocity zero.
        """
        x1 = pairs.x1
        z = torch.randn(x1.shape, generator=generator, dtype=x1.dtype, device=x1.device)
        return self._at(pairs, times, z)

    def reflected(self, point: PathPoint, pairs: Pairs, times: Times) -> PathPoint:
        """Return the point with `-z` in place of z."""
        return self._at(pairs, times, -_noise(point))

    def _at(self, pairs: Pairs, times: Times, z: Tensor) -> PathPoint:
        x, v = self._state(pairs, times.input, z)
        if times.input is not times.label:
            v = self._state(pairs, times.label, z)[1]
        if pairs.mask is not None:
            x, v = hold_known(pairs.mask, x, v, pairs.x1)
        return PathPoint(times.label, x, v, pairs.x0, pairs.x1, z)

    def _state(self, pairs: Pairs, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        spread = self.gamma(t)
        middle, drift = self.blend.interpolate(pairs.x0, pairs.x1, t, spread)
        return torch.addcmul(middle, bcast(spread.gamma, z), z), torch.addcmul(drift, bcast(spread.d_gamma, z), z)

    def target(self, point: PathPoint, kind: Prediction, *, gaussian_source: bool = False) -> Tensor:
        """Return the velocity, the drift `dI/dt`, `x1`, `x0`, `z`, or the conditional score `-z / gamma` (under any
        coupling) at the label time of the point.
        """
        check_prediction(kind)
        if kind == "drift":
            return self.blend.interpolate(point.x0, point.x1, point.t, self.gamma(point.t))[1]
        if kind == "score":
            return -_noise(point) / bcast(self.gamma(point.t).gamma, point.x)
        if kind == "denoiser":
            return _noise(point)
        return {"velocity": point.v, "data": point.x1, "noise": point.x0}[kind]

    def convert(
        self, value: Tensor, x: Tensor, t: Tensor, src: Prediction, dst: Prediction, *, gaussian_source: bool = False
    ) -> Tensor:
        """Turn the prediction `value: (B, *event)` of kind `src` at `x: (B, *event)`, `t: (B,)` into the kind `dst`.

        Raises `InputError` where one prediction does not determine the other.
        """
        check_prediction(src)
        check_prediction(dst)
        return value if src == dst else self.derive({src: value}, x, t, dst, gaussian_source=gaussian_source)

    def derive(
        self, known: Mapping[Prediction, Tensor], x: Tensor, t: Tensor, dst: Prediction, *, gaussian_source: bool
    ) -> Tensor:
        """Turn several predictions at `(x, t)` into one that is not among them. Raises `InputError` where they do not
        determine it. What is divided by gamma is infinite at the ends.
        """
        weights, spread = self.coefficients(t)
        gamma, d_gamma, product = (bcast(s, x) for s in spread)
        if "score" in known:
            noise, turn = -gamma * known["score"], -product * known["score"]  # finite also where gamma' is not
        elif "denoiser" in known:
            noise, turn = known["denoiser"], d_gamma * known["denoiser"]
        else:
            return self._alone(known, x, weights, spread, dst)
        if dst in ("denoiser", "score"):
            return noise if dst == "denoiser" else -noise / gamma
        if "drift" not in known and "velocity" not in known:
            return self._alone(known, x, weights, spread, dst)
        drift = known["drift"] if "drift" in known else known["velocity"] - turn
        if dst in ("drift", "velocity"):
            return drift if dst == "drift" else drift + turn
        a, b = conversion(weights, "velocity", dst)  # without the noise it is the affine path of both ends
        middle = x - gamma * noise
        return torch.addcmul(bcast(a, x) * drift, bcast(b, x), middle)

    def _alone(
        self, known: Mapping[Prediction, Tensor], x: Tensor, weights: Coefficients, spread: Spread, dst: Prediction
    ) -> Tensor:
        """Convert where the state holds one end at a time: then it is the affine path from the noise to that end."""
        end = self.blend.lone_end(weights)
        src: Prediction | None = next((kind for kind in _WITH_ONE_END if kind in known), None)
        if end is None or src is None or dst not in _WITH_ONE_END:
            raise InputError(
                f"{type(self).__name__} cannot turn {' and '.join(known)} into {dst}, because its noise is its own: "
                f"give the network a head for each, as in predicts='velocity,denoiser', or predict {dst}"
            )
        a, b = conversion(Coefficients(end[0], spread.gamma, end[1], spread.d_gamma), src, dst)
        return torch.addcmul(bcast(a, x) * known[src], bcast(b, x), x)


def _noise(point: PathPoint) -> Tensor:
    if point.z is None:
        raise InputError("the point has no noise z: take it from the path's own `point`")
    return point.z
