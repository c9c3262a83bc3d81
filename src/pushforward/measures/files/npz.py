"""numpy's `.npz`: named arrays of one length; one holds the points, others may select, condition or weigh the rows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format

from pushforward.errors import InputError, nearest
from pushforward.measures.files.npy import check_header
from pushforward.measures.files.table import Query, Table, check_plausible, native, only_columns, plain_column

__all__ = ["NAMES", "read_npz"]

NAMES = "names"
"""The array that names the features, written by `write_samples`; never read as points unless it is asked for."""


def read_npz(path: Path, query: Query) -> Table:
    """Read the array named by the key (default: the only one, or `x`), and the arrays of the query's columns."""
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        only_columns(query.path, query.columns, members)
        key = _key(query, list(members))
        array = native(query.path, f"array {key!r}", _load(archive, query.path, members[key]))
        if array.ndim == 0:
            raise InputError(f"{query.path}: array {key!r} is a single number: wanted (rows, ...)")
        columns = {name: plain_column(_load(archive, query.path, members[name])) for name in query.columns}
        for name, column in columns.items():
            if column.ndim == 0 or len(column) != len(array):
                raise InputError(
                    f"{query.path}: array {name!r} has shape {column.shape} but {key!r} has {len(array)} rows"
                )
        names = _names(archive, query.path, members, array)
    return Table(len(array), lambda rows: array[rows], columns, names)


def _key(query: Query, members: list[str]) -> str:
    if query.key is not None:
        if query.key not in members:
            raise InputError(f"{query.path} has no array {query.key!r}{nearest(query.key, members)}")
        return query.key
    candidates = [name for name in members if name not in query.columns and name != NAMES]
    if len(candidates) == 1 or "x" in candidates:
        return candidates[0] if len(candidates) == 1 else "x"
    if not candidates:
        raise InputError(f"{query.path} has no array of points")
    raise InputError(
        f"{query.path} has several arrays ({', '.join(candidates[:20])}): say which, as in {query.path}:{candidates[0]}"
    )


def _load(archive: zipfile.ZipFile, path: str, member: str) -> np.ndarray:
    what, info = f"array {member.removesuffix('.npy')!r}", archive.getinfo(member)
    check_plausible(path, what, info.file_size, info.compress_size)
    with archive.open(member) as file:
        check_header(path, what, file, info.file_size)
    with archive.open(member) as file:
        array = npy_format.read_array(file, allow_pickle=False)
        file.read(1)  # at the end of the member its checksum is compared
    return array


def _names(archive: zipfile.ZipFile, path: str, members: dict[str, str], array: np.ndarray) -> tuple[str, ...] | None:
    if NAMES not in members or array.ndim != 2:
        return None
    names = _load(archive, path, members[NAMES])
    return tuple(names.tolist()) if names.dtype.kind == "U" and names.shape == array.shape[1:] else None
