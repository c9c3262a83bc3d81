"""What every reader hands over: rows that can be taken, and the columns that select, condition and weigh them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pushforward.errors import InputError, nearest

__all__ = [
    "Query",
    "Table",
    "check_plausible",
    "feature_columns",
    "native",
    "only_columns",
    "plain_column",
    "plain_numbers",
    "table_of_columns",
]

DEFLATE_RATIO = 1032
"""No deflate stream expands by more than this."""
FREE_SIZE = 2**30
"""Up to this many bytes any compression that deflate can reach is believed; above it, only a hundredfold."""


@dataclass(frozen=True)
class Query:
    """What is asked of a file: the part that holds the points, and the columns wanted beside them."""

    path: str
    key: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """The contents of a file: `take(rows)` returns the points `(k, *event)` of these rows, and only those are decoded
    or made dense.

    `columns` hold one entry per row; in a column of text, `""` is a missing value. `where(row)` says where a row stands
    in the file.
    """

    length: int
    take: Callable[[np.ndarray], np.ndarray]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] | None = None
    where: Callable[[int], str] = "row {}".format


def check_plausible(path: str, what: str, claimed: int, stored: int) -> None:
    """Raise `InputError` if `what` claims more bytes than `stored` bytes can have expanded to, before anything is
    allocated.
    """
    limit = DEFLATE_RATIO * (stored + 64)
    if claimed > max(FREE_SIZE, 100 * stored) or claimed > limit:
        raise InputError(
            f"{path}: {what} claims {claimed:,} bytes but only {stored:,} are stored: the file is damaged or truncated"
        )


def native(path: str, what: str, array: np.ndarray) -> np.ndarray:
    """Return numbers in a type that torch has, in the machine's byte order. Raises `InputError` for anything but real
    numbers.

    Floats of 32 and 64 bits are kept; float16 becomes float32, longer floats float64, unsigned integers a signed type
    that holds them.
    """
    if array.dtype.kind not in "fiub":
        raise InputError(f"{path}: {what} must be numbers, got {_kind(array.dtype)}")
    if array.ndim > 0 and array.size == 0:
        raise InputError(f"{path}: {what} is empty, its shape is {array.shape}")
    if array.dtype.kind == "f":
        return array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64, copy=False)
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        return array.astype(np.float64 if array.dtype.itemsize == 8 else np.int64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _kind(dtype: np.dtype) -> str:
    if dtype.names:
        return f"records with the fields {', '.join(dtype.names)}"
    kinds = {"U": "text", "S": "text", "O": "objects", "c": "complex numbers", "M": "dates", "m": "durations"}
    return kinds.get(dtype.kind, f"an array of dtype {dtype}")


def plain_column(values: Any) -> np.ndarray:
    """Turn a column of a data frame or an array into numbers, or into text with `""` for what is missing.

    >>> plain_column(["a", None]).tolist()
    ['a', '']
    """
    array = np.asarray(values)
    if array.dtype.kind == "S":
        return np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind in "iubU":
        return array if array.dtype.kind in "bU" else native("", "", array)
    if array.dtype.kind == "f":
        return native("", "", array)
    return _from_objects(array)


def plain_numbers(values: Any) -> np.ndarray:
    """Turn a column of numbers, some of which may be missing, into an array with NaN for those.

    >>> plain_numbers([1, None]).tolist()
    [1.0, nan]
    """
    array = np.asarray(values)
    if array.dtype.kind != "O":
        return array
    return np.array([np.nan if _missing(value) else value for value in array.tolist()])


def _from_objects(array: np.ndarray) -> np.ndarray:
    items = [None if _missing(value) else value for value in array.ravel().tolist()]
    present = [value for value in items if value is not None]
    if present and all(isinstance(value, float) for value in present):
        return np.array([np.nan if value is None else value for value in items]).reshape(array.shape)
    if present and len(present) == len(items) and all(isinstance(value, int) for value in present):
        return np.array(items).reshape(array.shape)
    return np.array(["" if value is None else str(value) for value in items], dtype=str).reshape(array.shape)


def _missing(value: Any) -> bool:
    return (
        value is None
        or (type(value).__name__ in ("NAType", "NaTType"))
        or (isinstance(value, float) and value != value)
    )


def only_columns(path: str, wanted: Iterable[str], known: Iterable[str]) -> None:
    """Raise `InputError` naming the nearest for the first wanted column that the file does not have."""
    known = [str(name) for name in known]
    for name in wanted:
        if name not in known:
            raise InputError(f"{path} has no column {name!r}{nearest(name, known) if known else ''}")


def feature_columns(query: Query, numeric: Mapping[str, bool]) -> tuple[str, ...]:
    """Return which columns of a table are the points: those listed in the key, or every numeric one that is not asked
    for otherwise.

    `numeric` tells of each column of the file whether it holds numbers.
    """
    only_columns(query.path, query.columns, numeric)
    if query.key is not None:
        names = tuple(name.strip() for name in query.key.split(","))
        only_columns(query.path, names, numeric)
        if len(set(names)) < len(names):
            raise InputError(f"{query.path}: column {_repeated(names)!r} is asked for twice")
        return names
    names = tuple(name for name, is_number in numeric.items() if is_number and name and name not in query.columns)
    if not names:
        raise InputError(
            f"{query.path} has no numeric column to read; its columns are {', '.join(map(repr, list(numeric)[:20]))}"
        )
    return names


def _repeated(names: Iterable[str]) -> str:
    names = list(names)
    return next(name for name in names if names.count(name) > 1)


def table_of_columns(query: Query, features: Mapping[str, np.ndarray], columns: Mapping[str, np.ndarray]) -> Table:
    """Return the table whose points `(n, d)` stand side by side in columns `(n,)` of numbers."""
    arrays = [native(query.path, f"column {name!r}", array) for name, array in features.items()]
    return Table(
        len(arrays[0]), lambda rows: np.stack([array[rows] for array in arrays], axis=1), columns, tuple(features)
    )
