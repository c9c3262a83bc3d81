"""Select rows by the values of a column, as `label=3` on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pushforward.errors import InputError
from pushforward.measures.spec import Filter

__all__ = ["matches", "select_rows"]

_SHOWN = 12


def select_rows(path: str, filters: Sequence[Filter], columns: Mapping[str, np.ndarray], length: int) -> np.ndarray:
    """Return the numbers of the rows for which every filter holds. Raises `InputError` saying what there is when none
    does.
    """
    keep = np.ones(length, dtype=bool)
    for condition in filters:
        column = columns[condition.column]
        if column.ndim != 1:
            raise InputError(
                f"{path}: {condition.column!r} has shape {column.shape}: only a column (n,) can select rows"
            )
        mask = matches(column, condition.values)
        if not mask.any():
            raise InputError(f"{path} has no row with {condition}; {condition.column!r} is {_shown(column)}")
        keep &= mask
    if not keep.any():
        raise InputError(
            f"{path} has no row with {' and '.join(map(str, filters))} together" if filters else f"{path} has no rows"
        )
    return np.flatnonzero(keep)


def matches(column: np.ndarray, values: Sequence[str]) -> np.ndarray:
    """Tell which entries equal any of the values: as numbers where both are, else as text.

    >>> matches(np.array([1.0, 2.0]), ["2"]).tolist(), matches(np.array(["2", "b"]), ["2.0", "b"]).tolist()
    ([False, True], [True, True])
    """
    numbers = [number for value in values if (number := _number(value)) is not None]
    if column.dtype.kind == "b":
        numbers += [value.lower() == "true" for value in values if value.lower() in ("true", "false")]
    if column.dtype.kind != "U":
        return np.isin(column, numbers)
    unique, inverse = np.unique(column, return_inverse=True)
    found = [cell in values or (numbers != [] and _number(cell) in numbers) for cell in unique.tolist()]
    return np.array(found, dtype=bool)[inverse.reshape(-1)]


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _shown(column: np.ndarray) -> str:
    unique = np.unique(column)
    if len(unique) <= _SHOWN:
        return ", ".join(str(value) or "missing" for value in unique.tolist())
    if column.dtype.kind != "U":
        return f"between {unique.min()} and {unique.max()}"
    return f"{', '.join(unique[:_SHOWN].tolist())}, ... ({len(unique)} values)"
