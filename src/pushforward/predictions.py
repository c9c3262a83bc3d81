"""What networks predict: the kinds of prediction, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, cast, get_args

from pushforward.errors import InputError, nearest

__all__ = ["Prediction", "as_predictions", "check_prediction"]

Prediction: TypeAlias = Literal["velocity", "data", "noise", "score", "denoiser", "drift"]
"""What a head of a network predicts, as a mean given the state: the velocity dx/dt, the target point x1 (`data`), the
source point x0 (`noise`), the gradient of the log-density (`score`), the path's own standard normal noise z
(`denoiser`), or the velocity without that noise's part (`drift`).
"""


def check_prediction(kind: str) -> None:
    """Raise `InputError`, with the nearest name, unless `kind` is a prediction."""
    if kind not in get_args(Prediction):
        raise InputError(f"unknown prediction {kind!r}{nearest(kind, get_args(Prediction))}")


def as_predictions(kinds: str | Sequence[str]) -> tuple[Prediction, ...]:
    """Return the kinds of several heads, given as one name, names joined by commas, or a sequence of names.

    Raises `InputError` for an unknown kind, none at all, and one that comes twice.

    >>> as_predictions("velocity, denoiser")
    ('velocity', 'denoiser')
    """
    names = [name.strip() for name in kinds.split(",")] if isinstance(kinds, str) else list(kinds)
    for name in names:
        check_prediction(name)
    if not names or len(set(names)) < len(names):
        raise InputError(f"predicts is {', '.join(names) or 'empty'}: wanted at least one prediction, and none twice")
    return cast(tuple[Prediction, ...], tuple(names))
