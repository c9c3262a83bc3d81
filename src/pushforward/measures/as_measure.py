"""The one door for data: whatever a user has becomes a measure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from torch import Tensor

from pushforward.errors import InputError
from pushforward.measures.empirical import Empirical
from pushforward.measures.files.assemble import assemble
from pushforward.measures.files.images import to_unit_range
from pushforward.measures.files.read import open_spec
from pushforward.measures.files.table import (
    Query,
    Table,
    feature_columns,
    native,
    only_columns,
    plain_column,
    plain_numbers,
    table_of_columns,
)
from pushforward.measures.measure import Measure
from pushforward.measures.named import is_named, named, named_measures
from pushforward.measures.spec import Spec, parse_spec

__all__ = ["as_measure"]


def as_measure(value: Any, *, like: Measure | None = None, condition: Sequence[str] = ()) -> Measure:
    """Return `value` as a measure.

    `value` is a measure (returned as it is); a tensor, array or list `(n, *event)`; a pandas DataFrame or a Hugging
    Face `Dataset` (its one column of images or arrays, or every numeric column that is not a condition); or text: a
    file as `read` takes it, or a named measure. `like` is the measure of the other side, from which `gaussian` takes
    its shape. `condition` names the columns that go along with the rows.

    Raises `InputError` for anything else, and for conditions where there are no columns.

    >>> as_measure([[0.0, 1.0], [2.0, 3.0]]).event_shape
    (2,)
    """
    if isinstance(value, Measure):
        _check_conditions(value, condition)
        return value
    if isinstance(value, str | os.PathLike):
        return _from_text(os.fspath(value), like, condition)
    if hasattr(value, "with_format") and hasattr(value, "features"):
        return assemble("the dataset", _dataset_table(value, condition), condition=condition)
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return assemble("the data frame", _frame_table(value, condition), condition=condition)
    if isinstance(value, Tensor | np.ndarray | list | tuple):
        if condition:
            raise InputError(
                f"an array has no column {condition[0]!r}: pass Empirical(x, condition), a data frame or a file"
            )
        return Empirical(_array(value))
    raise InputError(
        f"cannot make a measure of a {type(value).__name__}: wanted samples, a data frame, a file or a name"
    )


def _check_conditions(measure: Measure, condition: Sequence[str]) -> None:
    only_columns(f"this {type(measure).__name__}", condition, measure.schema)


def _array(value: Any) -> Tensor | np.ndarray:
    try:
        return value if isinstance(value, Tensor) else native("x", "samples", np.asarray(value))
    except ValueError as error:
        raise (
            error if isinstance(error, InputError) else InputError("x is ragged: its rows are not of one length")
        ) from error


def _from_text(text: str, like: Measure | None, condition: Sequence[str]) -> Measure:
    spec = parse_spec(text)
    if is_named(spec.path):
        return named(spec, like=like, condition=condition)
    _check_known(spec)
    return open_spec(spec, condition)


def _check_known(spec: Spec) -> None:
    """Raise `InputError` with the nearest names and files for a bare word that is neither."""
    if os.path.exists(os.path.expanduser(spec.path)) or os.path.dirname(spec.path):
        return
    known = list(named_measures())
    files = [name for name in os.listdir() if not name.startswith(".")]
    near = get_close_matches(spec.path, [*known, *files], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"named measures are {', '.join(known)}"
    raise InputError(f"{spec.path!r} is neither a file nor a named measure; {hint}")


def _frame_table(frame: Any, condition: Sequence[str]) -> Table:
    by_name = {str(name): position for position, name in enumerate(frame.columns)}
    if len(by_name) < len(frame.columns):
        raise InputError("the data frame has two columns of one name: rename one")
    numeric = {name: frame.dtypes.iloc[position].kind in "fiub" for name, position in by_name.items()}
    query = Query("the data frame", None, tuple(condition))
    features = {
        name: plain_numbers(frame.iloc[:, by_name[name]].to_numpy()) for name in feature_columns(query, numeric)
    }
    return table_of_columns(query, features, {name: _series(frame.iloc[:, by_name[name]]) for name in condition})


def _series(series: Any) -> np.ndarray:
    return plain_column(series.to_numpy() if series.dtype.kind in "iufb" else series.astype(object).to_numpy())


def _dataset_table(dataset: Any, condition: Sequence[str]) -> Table:
    """Read a dataset of Hugging Face by its features: one column of images or arrays if there is exactly one, else the
    numeric ones.
    """
    label, rows = "the dataset", dataset.with_format(None)
    only_columns(label, condition, dataset.features)
    columns = {name: _dataset_column(rows, name, dataset.features[name]) for name in condition}
    nested = [name for name, feature in dataset.features.items() if _is_nested(feature) and name not in condition]
    if len(nested) == 1:
        array = _stack(label, nested[0], rows[nested[0]][:])
        return Table(len(array), lambda index: array[index], columns)
    numeric = {name: _is_number(feature) for name, feature in dataset.features.items()}
    query = Query(label, None, tuple(condition))
    features = {name: plain_numbers(rows[name][:]) for name in feature_columns(query, numeric)}
    return table_of_columns(query, features, columns)


def _is_nested(feature: Any) -> bool:
    return isinstance(feature, list) or type(feature).__name__ in (
        "Image",
        "Sequence",
        "List",
        "LargeList",
        "Array2D",
        "Array3D",
        "Array4D",
    )


def _is_number(feature: Any) -> bool:
    return str(getattr(feature, "dtype", "")).startswith(("int", "uint", "float", "bool"))


def _dataset_column(rows: Any, name: str, feature: Any) -> np.ndarray:
    """Return a column; labels of a class feature by the names of the classes."""
    column = rows[name][:]
    if type(feature).__name__ == "ClassLabel":
        column = [None if value is None or value < 0 else feature.int2str(value) for value in column]
    return plain_column(np.array(column, dtype=object) if None in column else column)


def _stack(label: str, name: str, items: list[Any]) -> np.ndarray:
    """Stack images as (n, C, H, W) in [-1, 1], or arrays as they are."""
    if items and hasattr(items[0], "convert"):
        mode = "L" if all(item is not None and item.mode in ("1", "L") for item in items) else "RGB"
        pixels = _same_shape(label, name, [None if item is None else np.asarray(item.convert(mode)) for item in items])
        return to_unit_range(pixels[:, None] if mode == "L" else pixels.transpose(0, 3, 1, 2))
    return native(
        label,
        f"column {name!r}",
        _same_shape(label, name, [None if item is None else np.asarray(item) for item in items]),
    )


def _same_shape(label: str, name: str, arrays: list[np.ndarray | None]) -> np.ndarray:
    if not arrays:
        raise InputError(f"{label} has no rows")
    for row, array in enumerate(arrays):
        if array is None or arrays[0] is None or array.shape != arrays[0].shape:
            here, first = _shape(array), _shape(arrays[0])
            raise InputError(
                f"{label}: column {name!r} has {here} at row {row} but {first} at row 0: all must be alike"
            )
    return np.stack([array for array in arrays if array is not None])


def _shape(array: np.ndarray | None) -> str:
    return "nothing" if array is None else f"shape {array.shape}"
