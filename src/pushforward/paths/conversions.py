"""Conversions between velocity, data, noise and score on an affine path: one two-by-two linear system, solved once.

Every prediction is a combination `p x1 + q x0` of the ends, and so is the state, `x = alpha x1 + sigma x0`. Given one
prediction and the state, any other is therefore `a value + b x` with `a, b` from Cramer's rule. All of it is linear, so
it holds for single pairs and for conditional means alike.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from pushforward.contracts import Coefficients
from pushforward.errors import InputError
from pushforward.predictions import Prediction

__all__ = ["check_gaussian", "conversion", "refuse_scores"]

_Row = tuple[Tensor | float, Tensor | float]

# The weights of x1 and x0 in each prediction. An affine path's own noise is its source; the score is that over -sigma.
_ENDS: dict[Prediction, Callable[[Coefficients], _Row]] = {
    "velocity": lambda c: (c.d_alpha, c.d_sigma),
    "drift": lambda c: (c.d_alpha, c.d_sigma),
    "data": lambda c: (1.0, 0.0),
    "noise": lambda c: (0.0, 1.0),
    "score": lambda c: (0.0, 1.0),
    "denoiser": lambda c: (0.0, 1.0),
}


def check_gaussian(gaussian_source: bool, *kinds: Prediction) -> None:
    """Raise `InputError` for a score, or the path's own noise, where the source of an affine path, given the target and
    the condition, is not N(0, I).
    """
    if not gaussian_source and ("score" in kinds or "denoiser" in kinds):
        raise InputError(
            "a score or denoiser follows from velocity, data or noise only when x0, given x1 and the condition, is "
            "exactly N(0, I): use the independent coupling with a standard normal source (gaussian_source=True), or a "
            "path with its own noise such as BrownianBridge"
        )


def refuse_scores(path: str, *kinds: Prediction) -> None:
    """Raise `InputError` for a score, or noise of the path's own, on a `path` whose source is never N(0, I)."""
    if "score" in kinds or "denoiser" in kinds:
        raise InputError(f"{path} has no score and no denoiser: what it starts from carries the condition")


def conversion(c: Coefficients, src: Prediction, dst: Prediction) -> tuple[Tensor, Tensor]:
    """Return `a, b`, of the shape of `c.alpha`, with `dst = a src + b x`; both are infinite or NaN where the path
    cannot tell (data from noise at alpha = 0).
    """
    (p, q), (p_new, q_new) = _ENDS[src](c), _ENDS[dst](c)
    determinant = p * c.sigma - q * c.alpha
    a = (p_new * c.sigma - q_new * c.alpha) / determinant
    b = (p * q_new - q * p_new) / determinant
    if src == "score":
        a = -c.sigma * a
    if dst == "score":
        a, b = -a / c.sigma, -b / c.sigma
    return a, b
