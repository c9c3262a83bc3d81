"""Conditions: what a row is conditioned on, carried along wherever the row goes.

A condition is a dictionary from names to tensors with one entry per row: integers `(B,)` are categories, floats `(B,)`
or `(B, k)` are continuous covariates. **An absent entry is a negative category or a NaN**: that one convention serves
missing values in a file, classifier-free dropout (per row) and unconditional sampling alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.errors import InputError, nearest

__all__ = [
    "Column",
    "Condition",
    "Schema",
    "absent",
    "check_dropout",
    "concatenate_conditions",
    "condition_to",
    "decode",
    "drop_rows",
    "encode",
    "infer_schema",
    "take",
]

Condition: TypeAlias = dict[str, Tensor]


@dataclass(frozen=True)
class Column:
    """What one condition means: the values of its `categories` in the order of their codes, or a continuous covariate
    of `width` numbers.

    Continuous covariates are standardised by `shift` and `scale` where they are embedded. A user who says nothing means
    the `default` in every entry, or that there is no value.
    """

    categories: tuple[str | int, ...] | None = None
    width: int = 1
    shift: float = 0.0
    scale: float = 1.0
    default: float | None = None

    def __post_init__(self) -> None:
        """Hold categories as a tuple, also when they come from JSON."""
        if self.categories is not None:
            object.__setattr__(self, "categories", tuple(self.categories))


Schema: TypeAlias = dict[str, Column]


def infer_schema(raw: object) -> Schema:
    """Read off what a user's condition means: strings and integers are categories, floats are continuous covariates.

    `raw` is one array or tensor (stored under the name `"condition"`) or a mapping of them. `None` gives the empty
    schema.
    """
    return {name: _infer_column(name, _as_array(name, values)) for name, values in _entries(raw).items()}


def encode(raw: object, schema: Schema, rows: int) -> Condition | None:
    """Turn a user's condition into codes and floats, one entry per row, in the terms of `schema`.

    Scalars are repeated for every row; an entry of the schema that `raw` lacks takes the column's default, or is
    absent in every row. Returns `None` for an empty schema.
    Raises `InputError` for an unknown name or category, or a wrong number of rows.
    """
    entries = _entries(raw)
    for name in entries:
        if name not in schema:
            raise InputError(
                f"unknown condition {name!r}{nearest(name, schema)}"
                if schema
                else f"condition {name!r} given, but this transport has none"
            )
    if not schema:
        return None
    return {name: _encode_column(name, entries.get(name), column, rows) for name, column in schema.items()}


def _entries(raw: object) -> dict[str, object]:
    if raw is None:
        return {}
    return {str(k): v for k, v in raw.items()} if isinstance(raw, Mapping) else {"condition": raw}


def _as_array(name: str, values: object) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.dtype.kind == "O":
        array = array.astype(str)
    if array.dtype.kind not in "fiubUS":
        raise InputError(f"condition {name!r} must be numbers or strings, got an array of dtype {array.dtype}")
    return array.astype(str) if array.dtype.kind == "S" else array


def _infer_column(name: str, array: np.ndarray) -> Column:
    if array.dtype.kind != "f":
        values = np.unique(array)
        return Column(tuple(str(v) if array.dtype.kind == "U" else int(v) for v in values))
    finite = array[np.isfinite(array)]
    if finite.size == 0:
        raise InputError(f"condition {name!r} has no finite value")
    width = 1 if array.ndim == 1 else int(np.prod(array.shape[1:]))
    return Column(None, width, float(finite.mean()), float(finite.std()) or 1.0)


def _encode_column(name: str, values: object, column: Column, rows: int) -> Tensor:
    if values is None:
        if column.categories is not None:
            return torch.full((rows,), -1)
        return torch.full((rows, column.width), torch.nan if column.default is None else column.default)
    array = _as_array(name, values)
    array = np.broadcast_to(array, (rows, *array.shape)) if array.ndim == 0 else array
    if array.shape[0] != rows:
        raise InputError(f"condition {name!r} has {array.shape[0]} rows but there are {rows} samples")
    if column.categories is None:
        return _encode_continuous(name, array, column.width)
    return _encode_categories(name, array, column.categories)


def _encode_continuous(name: str, array: np.ndarray, width: int) -> Tensor:
    if array.dtype.kind == "U":
        raise InputError(f"condition {name!r} is continuous, got the text {array.flat[0]!r}")
    flat = array.reshape(array.shape[0], -1)
    if flat.shape[1] != width:
        raise InputError(f"condition {name!r} has {flat.shape[1]} columns, wanted {width}")
    return torch.tensor(flat, dtype=torch.get_default_dtype())


def _encode_categories(name: str, array: np.ndarray, categories: tuple[str | int, ...]) -> Tensor:
    codes = {str(value): code for code, value in enumerate(categories)}
    values, inverse = np.unique(array, return_inverse=True)
    keys = [str(int(v)) if array.dtype.kind == "f" and v == int(v) else str(v) for v in values]
    for key in keys:
        if key not in codes:
            raise InputError(f"condition {name!r} has no category {key!r}{nearest(key, codes)}")
    return torch.tensor([codes[key] for key in keys], dtype=torch.long)[torch.from_numpy(inverse.reshape(-1))]


def decode(condition: Condition | None, schema: Schema) -> dict[str, np.ndarray]:
    """Turn a condition back into the user's terms, one array per entry: the inverse of `encode`.

    Categories become integers or text, and text with `""` where a row has none; covariates become floats `(B,)` or `(B,
    k)`.

    >>> schema = infer_schema({"day": ["mon", "tue"]})
    >>> decode(encode({"day": ["tue", "mon"]}, schema, 2), schema)["day"].tolist()
    ['tue', 'mon']
    """
    return {name: _decode_column(column, schema[name]) for name, column in (condition or {}).items()}


def _decode_column(codes: Tensor, column: Column) -> np.ndarray:
    values = codes.detach().cpu().numpy()
    if column.categories is None:
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if (values < 0).any():
        return np.array([*map(str, column.categories), ""])[values]  # -1 takes the last
    return np.array(column.categories)[values]


def take(condition: Condition | None, index: Tensor | slice) -> Condition | None:
    """Re-index every entry by the rows in `index`: `(k,)` integers, a `(B,)` mask, or a slice."""
    return None if condition is None else {name: column[index] for name, column in condition.items()}


def condition_to(condition: Condition | None, device: torch.device | str) -> Condition | None:
    """Move every entry to `device`."""
    if condition is None:
        return None
    return {name: column.to(device) for name, column in condition.items()}


def concatenate_conditions(conditions: list[Condition]) -> Condition:
    """Stack the rows of several conditions with the same names."""
    return {name: torch.cat([condition[name] for condition in conditions]) for name in conditions[0]}


def absent(column: Tensor) -> Tensor:
    """Tell which rows of a column `(B,)` or `(B, k)` carry no value: `(B,)` booleans."""
    if not column.is_floating_point():
        return column < 0
    missing = column.isnan()
    return missing if missing.ndim == 1 else missing.flatten(1).any(1)


def check_dropout(probability: float) -> None:
    """Raise `InputError` unless the `condition_dropout` of an objective is a probability."""
    if not 0 <= probability <= 1:
        raise InputError(f"condition_dropout is a probability, got {probability}")


def drop_rows(
    condition: Condition | None, probability: float, *, generator: torch.Generator | None = None
) -> Condition | None:
    """Mark the condition of each row absent with `probability`, independently per row (all entries of the row
    together).
    """
    if condition is None or probability == 0:
        return condition
    first = next(iter(condition.values()))
    drop = torch.rand(first.shape[0], generator=generator, device=first.device) < probability
    return {name: _mark_absent(column, drop) for name, column in condition.items()}


def withheld(condition: Condition) -> Condition:
    """Return the condition with every entry marked absent."""
    return {name: torch.full_like(column, _mark(column)) for name, column in condition.items()}


def _mark_absent(column: Tensor, rows: Tensor) -> Tensor:
    return column.masked_fill(rows.reshape(-1, *([1] * (column.ndim - 1))), _mark(column))


def _mark(column: Tensor) -> float:
    return float("nan") if column.is_floating_point() else -1
