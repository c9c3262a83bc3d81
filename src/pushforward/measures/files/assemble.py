"""From a table to the empirical measure of its selected rows, checked, with conditions and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from pushforward.conditions import infer_schema
from pushforward.errors import InputError
from pushforward.measures.empirical import Empirical
from pushforward.measures.files.select import select_rows
from pushforward.measures.files.table import Table
from pushforward.measures.spec import Filter

__all__ = ["assemble"]


def assemble(
    path: str, table: Table, *, filters: Sequence[Filter] = (), condition: Sequence[str] = (), weight: str | None = None
) -> Empirical:
    """Return the measure of the rows that the filters keep. A missing value of a condition is an absent entry.

    Raises `InputError` naming `path`, the row and the column for values that are not finite, and when no row is left.
    """
    rows = select_rows(path, filters, table.columns, table.length)
    x = table.take(rows)
    _check_finite(path, table, rows, x)
    raw = {name: _checked(path, name, table.columns[name][rows]) for name in condition}
    weights = None if weight is None else _weights(path, weight, table, rows)
    try:
        return _empirical(x, raw, weights, table.names)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _empirical(
    x: np.ndarray, raw: Mapping[str, np.ndarray], weight: np.ndarray | None, names: tuple[str, ...] | None
) -> Empirical:
    missing = {name: column == "" for name, column in raw.items() if column.dtype.kind == "U"}
    schema = infer_schema({name: column[~missing[name]] if name in missing else column for name, column in raw.items()})
    filled = {
        name: np.where(missing[name], column[~missing[name]][0], column) if name in missing else column
        for name, column in raw.items()
    }
    measure = Empirical(np.ascontiguousarray(x), filled or None, weight, schema=schema, names=names)
    for name, mask in missing.items():
        if measure.condition is not None:
            measure.condition[name][torch.from_numpy(mask)] = -1
    return measure


def _checked(path: str, name: str, column: np.ndarray) -> np.ndarray:
    if column.ndim != 1 and column.dtype.kind != "f":
        raise InputError(f"{path}: the condition {name!r} has shape {column.shape}: categories need one value a row")
    if column.dtype.kind == "U" and not (column != "").any():
        raise InputError(f"{path}: the condition {name!r} has no value in the selected rows")
    return column


def _weights(path: str, name: str, table: Table, rows: np.ndarray) -> np.ndarray:
    column = table.columns[name]
    if column.ndim != 1 or column.dtype.kind not in "fiub":
        raise InputError(f"{path}: the weights {name!r} must be one number a row")
    weights = column[rows].astype(np.float64)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(rows[bad.argmax()])
        raise InputError(
            f"{path}: {table.where(row)}: the weight {name!r} is {weights[bad.argmax()]}, wanted a number from 0 up"
        )
    return weights


def _check_finite(path: str, table: Table, rows: np.ndarray, x: np.ndarray) -> None:
    if x.dtype.kind != "f" or x.size == 0:
        return
    bad = ~np.isfinite(x).reshape(len(x), -1)
    if not bad.any():
        return
    row, position = divmod(int(bad.argmax()), bad.shape[1])
    column = f"column {table.names[position]!r}" if table.names else f"entry {position}"
    value = "missing or not a number" if np.isnan(x.reshape(len(x), -1)[row, position]) else "infinite"
    count = int(bad.sum())
    raise InputError(
        f"{path}: {table.where(int(rows[row]))}, {column} is {value} ({count} such value{'s' * (count > 1)} in all)"
    )
