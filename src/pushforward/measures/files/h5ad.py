"""AnnData's `.h5ad`: cells by genes, embeddings and annotations (extra `cells`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pushforward.errors import InputError, nearest, optional_import
from pushforward.measures.files._probe import probe_hdf5
from pushforward.measures.files.table import Query, Table, check_plausible, native, only_columns, plain_column

__all__ = ["read_h5ad"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
DENSE_LIMIT = 8 * 2**30
"""The largest dense copy of a sparse matrix that is made, in bytes."""


def read_h5ad(path: Path, query: Query) -> Table:
    """Read `X` (default), `raw/X`, `layers/NAME` or `obsm/NAME`; the columns are those of `obs`. Sparse matrices are
    made dense after the selection of rows.
    """
    anndata = optional_import("anndata", "cells", f"reading {query.path}")
    with open(path, "rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise InputError(f"{query.path} is not an .h5ad file: it does not start as HDF5 does")
    probe_hdf5(query.path, path)
    _check_datasets(query.path, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old layouts, which are read all the same
        cells = anndata.read_h5ad(path, backed="r")
        try:
            only_columns(query.path, query.columns, cells.obs.columns)
            matrix, names = _element(query, cells)
            columns = {name: plain_column(_plain(cells.obs[name])) for name in query.columns}
        finally:
            cells.file.close()
    return Table(matrix.shape[0], lambda rows: _dense(query, matrix, rows), columns, names)


def _check_datasets(label: str, path: Path) -> None:
    """Compare what every array in the file claims to what is stored of it, before anything is allocated."""
    h5py, size = optional_import("h5py", "cells", f"reading {label}"), path.stat().st_size

    def check(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            check_plausible(label, f"array {name!r}", item.nbytes, min(item.id.get_storage_size(), size))

    with h5py.File(path) as file:
        file.visititems(check)


def _element(query: Query, cells: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Return the matrix that the key names, in memory, and the names of its columns."""
    group, _, name = (query.key or "X").partition("/")
    if (group, name) == ("X", ""):
        return _matrix(query, cells.X), tuple(map(str, cells.var_names))
    if (group, name) == ("raw", "X"):
        if cells.raw is None:
            raise InputError(f"{query.path} has no raw/X; it has {', '.join(_keys(cells))}")
        return _matrix(query, cells.raw.X), tuple(map(str, cells.raw.var_names))
    if group in ("layers", "obsm") and name in getattr(cells, group):
        matrix = getattr(cells, group)[name]
        named = tuple(map(str, getattr(matrix, "columns", ()))) if group == "obsm" else tuple(map(str, cells.var_names))
        return _matrix(query, matrix), named or None
    raise InputError(f"{query.path} has no {query.key!r}{nearest(query.key or 'X', _keys(cells))}")


def _keys(cells: Any) -> list[str]:
    raw = ["raw/X"] if cells.raw is not None else []
    return ["X", *raw, *(f"layers/{name}" for name in cells.layers), *(f"obsm/{name}" for name in cells.obsm)]


def _matrix(query: Query, matrix: Any) -> Any:
    """Load a matrix that may still be on the disk, or be a data frame; sparse ones come by rows."""
    if matrix is None:
        raise InputError(f"{query.path} has no X: say which part to read, as in {query.path}:obsm/X_pca")
    if hasattr(matrix, "to_memory"):
        matrix = matrix.to_memory()
    if sparse.issparse(matrix):
        return sparse.csr_matrix(matrix)
    return native(query.path, query.key or "X", np.asarray(matrix))


def _dense(query: Query, matrix: Any, rows: np.ndarray) -> np.ndarray:
    if not sparse.issparse(matrix):
        return matrix[rows]
    needed = len(rows) * matrix.shape[1] * matrix.dtype.itemsize
    if needed > DENSE_LIMIT:
        raise InputError(
            f"{query.path}: {query.key or 'X'} is sparse and would take {needed / 2**30:.0f} GiB as a dense array: "
            f"select rows, or read an embedding such as obsm/X_pca"
        )
    return native(query.path, query.key or "X", matrix[rows].toarray())


def _plain(series: Any) -> np.ndarray:
    """Return a column of a data frame as an array; categories as objects, of which NaN are the missing ones."""
    return series.to_numpy() if series.dtype.kind in "iufbO" else series.astype(object).to_numpy()
