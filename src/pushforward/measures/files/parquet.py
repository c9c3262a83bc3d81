"""Apache Parquet tables (extra `parquet`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pushforward.errors import InputError, optional_import
from pushforward.measures.files.table import (
    Query,
    Table,
    check_plausible,
    feature_columns,
    native,
    plain_column,
    plain_numbers,
    table_of_columns,
)

__all__ = ["read_parquet"]

_EXPANSION = 4096
"""How much larger than the file its columns may be: dictionaries and run lengths expand further than compression alone.
"""


def read_parquet(path: Path, query: Query) -> Table:
    """Read the columns in the key (default: every numeric one that the query does not use otherwise); only those are
    loaded.

    A single column of lists of one length is read as an array `(n, length, ...)` when the key names it.
    """
    parquet = optional_import("pyarrow.parquet", "parquet", f"reading {query.path}")
    with parquet.ParquetFile(path) as file:
        _check_size(query.path, file.metadata, path.stat().st_size)
        numeric = _numeric(query.path, file.schema_arrow)
        features = feature_columns(query, numeric)
        data = file.read(columns=list(dict.fromkeys(features + query.columns)))
    columns = {name: _values(data[name]) for name in query.columns}
    if len(features) == 1 and _is_list(data.schema.field(features[0]).type):
        return _nested(query.path, features[0], data[features[0]].to_pylist(), columns)
    return table_of_columns(query, {name: plain_numbers(_objects(data[name])) for name in features}, columns)


def _check_size(path: str, metadata: Any, size: int) -> None:
    if metadata.num_rows == 0:
        raise InputError(f"{path} has no rows")
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    check_plausible(path, "the table", sum(group.total_byte_size for group in groups), size)
    if metadata.num_rows < 0 or metadata.num_rows > 2**20 + _EXPANSION * size:
        raise InputError(f"{path}: the table claims {metadata.num_rows:,} rows in {size:,} bytes: the file is damaged")


def _numeric(path: str, schema: Any) -> dict[str, bool]:
    names = schema.names
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path} has two columns named {name!r}")
    return {field.name: _is_number(field.type) and not field.name.startswith("__index_level_") for field in schema}


def _is_number(kind: Any) -> bool:
    types = optional_import("pyarrow", "parquet", "reading parquet").types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _is_list(kind: Any) -> bool:
    types = optional_import("pyarrow", "parquet", "reading parquet").types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _values(column: Any) -> np.ndarray:
    """Return a column as numbers, NaN where one is missing, or as text, `""` where it is missing; whole numbers with
    gaps become text.
    """
    return plain_column(_objects(column))


def _objects(column: Any) -> np.ndarray:
    if _is_number(column.type) and column.null_count == 0:
        return column.to_numpy()
    return np.array(column.to_pylist(), dtype=object)


def _nested(path: str, name: str, rows: list[Any], columns: dict[str, np.ndarray]) -> Table:
    try:
        array = np.array(rows)
    except ValueError as error:
        raise InputError(f"{path}: the lists in column {name!r} are not all of one length") from error
    array = native(path, f"column {name!r}", array)
    return Table(len(array), lambda index: array[index], columns)
