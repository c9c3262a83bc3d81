"""Conversions between velocity, data, noise and score on an affine path: one two-by-two linear system, solved once.

Every prediction is a combination `p x1 + q x0` of the ends, and so is the state, `x = alpha x1 + sigma x0`. Given one
prediction and the state, any other is therefore `a value + b x` with `a, b` from Cramer's rule. All of it is linear, so
it holds for single pairs and for conditional means alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

from torch import Tensor

from pushforward.contracts import Coefficients, Prediction
from pushforward.errors import InputError, nearest

__all__ = ["check_prediction", "conversion", "score_refused"]

_Row = tuple[Tensor | float, Tensor | float]

# The weights of x1 and x0 in each prediction. The score is the noise divided by -sigma.
_ENDS: dict[Prediction, Callable[[Coefficients], _Row]] = {
    "velocity": lambda c: (c.d_alpha, c.d_sigma),
    "data": lambda c: (1.0, 0.0),
    "noise": lambda c: (0.0, 1.0),
    "score": lambda c: (0.0, 1.0),
}


def check_prediction(kind: str) -> None:
    """Raise `InputError` unless `kind` is one of the four predictions."""
    if kind not in _ENDS:
        raise InputError(f"unknown prediction {kind!r}{nearest(kind, get_args(Prediction))}")


def score_refused() -> InputError:
    """Return the error for a score where the source, given the target and the condition, is not N(0, I)."""
    return InputError(
        "a score follows from velocity, data or noise only when x0, given x1 and the condition, is exactly "
        "N(0, I): use the independent coupling with a standard normal source (gaussian_source=True), or a path "
        "with its own noise such as BrownianBridge"
    )


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
