"""Which reader reads which file, by the end of its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from pushforward.errors import InputError, nearest
from pushforward.measures.files.h5ad import read_h5ad
from pushforward.measures.files.idx import read_idx
from pushforward.measures.files.images import IMAGE_SUFFIXES, read_images
from pushforward.measures.files.npy import read_npy
from pushforward.measures.files.npz import read_npz
from pushforward.measures.files.parquet import read_parquet
from pushforward.measures.files.table import Query, Table
from pushforward.measures.files.text import read_text

__all__ = ["SUFFIXES", "Reader", "reader_of"]

Reader: TypeAlias = Callable[[Path, Query], Table]

SUFFIXES: dict[str, Reader] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_text,
    ".tsv": read_text,
    ".txt": read_text,
    ".parquet": read_parquet,
    ".h5ad": read_h5ad,
    ".idx": read_idx,
}
"""The readers by suffix; folders are read as images."""

_IDX = re.compile(r"[-.]idx\d?(-\w+)?(\.gz)?$")


def reader_of(path: Path, label: str) -> Reader:
    """Return the reader for a file or folder. Raises `InputError` with the nearest suffix for an unknown one."""
    if path.is_dir():
        return read_images
    if _IDX.search(path.name):
        return read_idx
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        raise InputError(f"{label} is a single image: give the folder of images")
    if suffix not in SUFFIXES:
        supported = f"{' '.join(SUFFIXES)}, ...-idx3-ubyte[.gz], or a folder of images"
        close = nearest(suffix, SUFFIXES) if suffix else ""
        raise InputError(
            f"{label} has a suffix that no reader knows{close if 'did' in close else ''}; supported are {supported}"
        )
    return SUFFIXES[suffix]
