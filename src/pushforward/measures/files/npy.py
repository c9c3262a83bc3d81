"""numpy's `.npy`: one array, rows first."""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO

from numpy.lib import format as npy_format

from pushforward.errors import InputError
from pushforward.measures.files.table import Query, Table, native, only_columns

__all__ = ["check_header", "read_npy"]

_PICKLED = "holds pickled objects, which are never loaded: save it again as plain numbers, or text of dtype str"


def read_npy(path: Path, query: Query) -> Table:
    """Read an array `(n, *event)` of numbers; it has no columns and no keys."""
    only_columns(f"{query.path} (a .npy file has no columns: use .npz or .csv)", query.columns, ())
    if query.key is not None:
        raise InputError(f"{query.path} holds a single array: leave out the key {query.key!r}")
    with open(path, "rb") as file:
        check_header(query.path, "the array", file, path.stat().st_size)
        file.seek(0)
        array = npy_format.read_array(file, allow_pickle=False)
    array = native(query.path, "the array", array)
    if array.ndim == 0:
        raise InputError(f"{query.path} holds a single number: wanted (rows, ...)")
    return Table(len(array), lambda rows: array[rows])


def check_header(path: str, what: str, file: IO[bytes], size: int) -> None:
    """Raise `InputError` unless the header of `file` promises an array without objects that `size` bytes can hold."""
    try:
        version = npy_format.read_magic(file)
        read = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
        shape, _, dtype = read[version](file)  # version 3.0 is for records alone
    except Exception as error:
        raise InputError(f"{path}: {what} is not in numpy's format, or is truncated") from error
    if dtype.hasobject:
        raise InputError(f"{path}: {what} {_PICKLED}")
    needed, there = math.prod(shape) * dtype.itemsize, max(0, size - file.tell())
    if needed > there:
        raise InputError(f"{path} is truncated: {what} of shape {shape} needs {needed:,} bytes, {there:,} are there")
