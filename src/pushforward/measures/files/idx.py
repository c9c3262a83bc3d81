"""The idx format of MNIST and its kin, also compressed by gzip."""

from __future__ import annotations

import gzip
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from pushforward.errors import InputError
from pushforward.measures.files.images import to_unit_range
from pushforward.measures.files.table import Query, Table, check_plausible, native, only_columns

__all__ = ["read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
LABEL = "label"


def read_idx(path: Path, query: Query) -> Table:
    """Read an idx array; bytes `(n, H, W)` become images `(n, 1, H, W)` in [-1, 1].

    Where `...images-idx3-ubyte` has `...labels-idx1-ubyte` beside it, that is the column `label`.
    """
    labels = _labels_beside(path)
    only_columns(query.path, query.columns, [LABEL] if labels else [])
    if query.key is not None:
        raise InputError(f"{query.path} holds a single array: leave out the key {query.key!r}")
    array = _load(query.path, path)
    columns = {LABEL: _load(labels.name, labels).astype(np.int64)} if labels and query.columns else {}
    if columns and columns[LABEL].shape != (len(array),):
        raise InputError(
            f"{labels} holds labels of shape {columns[LABEL].shape} but {query.path} has {len(array)} images"
        )
    return Table(len(array), _taker(array), columns)


def _taker(array: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    if array.ndim == 3 and array.dtype == np.uint8:
        return lambda rows: to_unit_range(array[rows][:, None])
    return lambda rows: array[rows]


def _labels_beside(path: Path) -> Path | None:
    """Return the file of labels that goes with a file of images, compressed or not."""
    name = path.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = [path.with_name(name + suffix) for suffix in ("", ".gz")]
    return next((other for other in beside if other.is_file()), None) if "images" in path.name else None


def _load(label: str, path: Path) -> np.ndarray:
    compressed, size = path.suffix == ".gz", path.stat().st_size
    with gzip.open(path) if compressed else open(path, "rb") as file:
        shape, dtype = _header(label, file)
        needed = math.prod(shape) * dtype.itemsize
        if compressed:
            check_plausible(label, f"the array of shape {shape}", needed, size)
        elif needed > size:
            raise InputError(
                f"{label} is truncated: its array of shape {shape} needs {needed:,} bytes, the file has {size:,}"
            )
        content = file.read(needed)
        if len(content) < needed:
            raise InputError(
                f"{label} is truncated: its array of shape {shape} needs {needed:,} bytes, {len(content):,} are there"
            )
        if file.read(1):
            raise InputError(f"{label} is damaged: there are bytes after its array of shape {shape}")
    return native(label, "the array", np.frombuffer(bytearray(content), dtype).reshape(shape))


def _header(label: str, file: IO[bytes] | gzip.GzipFile) -> tuple[tuple[int, ...], np.dtype]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 8:
        raise InputError(f"{label} is not in the idx format: it starts with {magic.hex(' ') or 'nothing'}")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise InputError(f"{label} is truncated: it ends within its header")
    return struct.unpack(f">{magic[3]}I", sizes), np.dtype(_TYPES[magic[2]])
