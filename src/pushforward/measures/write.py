"""Write samples in the format of the suffix: all of the file or none of it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pushforward.atomic import atomic_path
from pushforward.errors import InputError, nearest, optional_import
from pushforward.measures.files.npz import NAMES

__all__ = ["write_samples"]

Columns: TypeAlias = dict[str, np.ndarray]
Writer: TypeAlias = Callable[[Path, np.ndarray, "tuple[str, ...] | None", Columns], None]

LABEL = "label"


def write_samples(
    path: str | os.PathLike[str],
    x: Tensor,
    *,
    names: Sequence[str] | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write points `x: (n, *event)`, the `names` of their features and further `columns` (one entry per row) to `path`.

    The suffix is the format: `.npy` (points alone), `.npz` (array `x`, others by name), `.csv`, `.parquet`, `.h5ad`
    (vectors only). A path without suffix, or that ends in `/`, becomes a folder of PNG images `(C, H, W)`, values in
    [-1, 1], in sub-folders by the column `label`. `read` reads all of them back. The file appears under its name only
    when it is complete.

    Raises `InputError` for a format that cannot hold what is given, and for what the system refuses (no folder, no
    permission, a full disk).
    """
    array = x.detach().cpu()
    array = (array.float() if array.dtype == torch.bfloat16 else array).numpy()
    others = {str(name): np.asarray(column) for name, column in (columns or {}).items()}
    named = None if names is None else tuple(names)
    _check(path, array, named, others)
    write = _writer(path, array)
    with atomic_path(path) as temporary:
        write(temporary, array, named, others)


def _check(path: str | os.PathLike[str], x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    for name, column in columns.items():
        if column.ndim == 0 or len(column) != len(x):
            raise InputError(
                f"cannot write {path}: column {name!r} has shape {column.shape} but there are {len(x)} samples"
            )
    if names is not None and (x.ndim != 2 or len(names) != x.shape[1]):
        raise InputError(f"cannot write {path}: {len(names)} names for samples of shape {x.shape[1:]}")


def _writer(path: str | os.PathLike[str], x: np.ndarray) -> Writer:
    suffix = Path(path).suffix.lower()
    if not suffix or os.fspath(path).endswith(("/", os.sep)):
        _check_images(path, x)
        return _write_images
    if suffix not in _WRITERS:
        raise InputError(f"cannot write {path}: no format {suffix!r}{nearest(suffix, _WRITERS)}")
    if suffix in _TABLES and x.ndim != 2:
        raise InputError(
            f"cannot write {path}: {suffix} holds vectors, got samples of shape {x.shape[1:]}: use .npz or .npy"
        )
    return _WRITERS[suffix]


def _write_npy(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    if columns:
        raise InputError(f"a .npy file has no room for the columns {', '.join(columns)}: use .npz or .csv")
    np.save(path, x, allow_pickle=False)


def _write_npz(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    arrays: dict[str, Any] = {"x": x} if names is None else {"x": x, NAMES: np.array(names, dtype=str)}
    for name, column in columns.items():
        if name in (*arrays, "file", "allow_pickle"):  # the last two are arguments of numpy's own
            raise InputError(f"a column cannot be named {name!r} in an .npz file: rename it")
        arrays[name] = _plain(column)
    np.savez_compressed(path, **arrays)


def _plain(column: np.ndarray) -> np.ndarray:
    return column.astype(str) if column.dtype.kind == "O" else column


def _write_csv(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    """Write the shortest digits that read back as the same number; columns come after the features."""
    table = _table(x, names, columns)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*(column.astype(str).tolist() for column in table.values()), strict=True))


def _write_parquet(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    arrow = optional_import("pyarrow", "parquet", "writing .parquet")
    parquet = optional_import("pyarrow.parquet", "parquet", "writing .parquet")
    table = {name: arrow.array(_plain(column)) for name, column in _table(x, names, columns).items()}
    parquet.write_table(arrow.table(table), path)


def _write_h5ad(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    anndata = optional_import("anndata", "cells", "writing .h5ad")
    pandas = optional_import("pandas", "cells", "writing .h5ad")
    index = [str(row) for row in range(len(x))]
    obs = pandas.DataFrame({name: _plain(column) for name, column in _split(columns).items()}, index=index)
    var = pandas.DataFrame(index=list(names or _default_names(x)))
    try:
        anndata.AnnData(X=np.ascontiguousarray(x), obs=obs, var=var).write_h5ad(path)
    except RuntimeError as error:  # what HDF5 raises on a full disk
        raise OSError(f"HDF5: {error}") from error


def _table(x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> Columns:
    features = dict(zip(names or _default_names(x), x.T, strict=True))
    others = _split(columns)
    for name in others:
        if name in features:
            raise InputError(f"two columns are named {name!r}: rename one")
    return features | others


def _default_names(x: np.ndarray) -> list[str]:
    return [f"x{i + 1}" for i in range(x.shape[1])]


def _split(columns: Columns) -> Columns:
    """Give every entry of a column `(n, k)` a column of its own."""
    wide = {name: column.reshape(len(column), -1) for name, column in columns.items()}
    return {
        name if columns[name].ndim == 1 else f"{name}{i + 1}": column[:, i]
        for name, column in wide.items()
        for i in range(column.shape[1])
    }


def _check_images(path: str | os.PathLike[str], x: np.ndarray) -> None:
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise InputError(
            f"cannot write {path}: without a suffix it is a folder of images (C, H, W) with C 1 or 3, "
            f"but samples have shape {x.shape[1:]}: end it in one of {' '.join(_WRITERS)}"
        )
    folder = Path(path)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"cannot write {path}: it exists and is not an empty folder; give a new name")


def _write_images(path: Path, x: np.ndarray, names: tuple[str, ...] | None, columns: Columns) -> None:
    if set(columns) - {LABEL}:
        raise InputError(
            f"a folder of images has no room for the columns {', '.join(set(columns) - {LABEL})}: use .npz"
        )
    labels = [_folder_name(label) for label in columns[LABEL].astype(str)] if LABEL in columns else [""] * len(x)
    pixels = np.clip(np.rint((x.astype(np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)
    digits = len(str(max(len(x) - 1, 0)))
    for folder in sorted(set(labels)):
        (path / folder).mkdir(parents=True)
    for row, (label, image) in enumerate(zip(labels, pixels, strict=True)):
        Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(
            path / label / f"{row:0{digits}d}.png"
        )


def _folder_name(label: str) -> str:
    if label in (".", "..") or "/" in label or "\\" in label or "\0" in label:
        raise InputError(f"the label {label!r} cannot name a folder of images: use .npz")
    return label


_TABLES: dict[str, Writer] = {".csv": _write_csv, ".parquet": _write_parquet, ".h5ad": _write_h5ad}
_WRITERS: dict[str, Writer] = {".npy": _write_npy, ".npz": _write_npz, **_TABLES}
