"""Handwritten digits, the small real image data set that comes with scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pushforward.errors import InputError, optional_import
from pushforward.measures.empirical import Empirical

__all__ = ["digits"]


def digits(labels: Sequence[int] | None = None) -> Empirical:
    """Return the 1,797 digits of scikit-learn as images `(1, 8, 8)` in [-1, 1], float32, with the condition `label`.

    `labels` keeps only these digits. The 17 grey levels g = 0 .. 16 become `g / 8 - 1`. Raises `MissingExtra` without
    scikit-learn, `InputError` for a label that is not one of 0 .. 9.
    """
    data = optional_import("sklearn.datasets", "digits", "the measure 'digits'").load_digits()
    images = (data.images[:, None] / 8 - 1).astype(np.float32)
    if labels is None:
        return Empirical(images, {"label": data.target})
    unknown = sorted(set(labels) - set(range(10)))
    if unknown or not labels:
        raise InputError(f"labels must be some of the digits 0 to 9, got {unknown or 'none'}")
    keep = np.isin(data.target, list(labels))
    return Empirical(images[keep], {"label": data.target[keep]})
