"""Read a file, whatever its format, as an empirical measure."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pushforward.errors import InputError, MissingExtra
from pushforward.measures.empirical import Empirical
from pushforward.measures.files.assemble import assemble
from pushforward.measures.files.formats import reader_of
from pushforward.measures.files.table import Query, Table
from pushforward.measures.spec import Spec, parse_spec

__all__ = ["open_spec", "read"]

T = TypeVar("T")


def read(spec: str | os.PathLike[str], *, condition: Sequence[str] = (), weight: str | None = None) -> Empirical:
    r"""Read `PATH[:KEY][:COLUMN=VALUE]...[:@WEIGHT]` as an empirical measure.

    `KEY` is the part of the file that holds the points: columns of a table (default: every numeric one that is not used
    otherwise), an array of an `.npz`, `X`, `layers/NAME` or `obsm/NAME` of an `.h5ad`. `COLUMN=VALUE` keeps the rows
    where the column equals the value, or any of a list `a,b`. `condition` names the columns that go along with the
    rows: text and integers are categories, floats continuous. `weight` (or `:@WEIGHT`) names the column that weighs
    them.

    Raises `InputError`, one line that names the file and the row or column, for whatever is wrong with the file or the
    request, and `MissingExtra` where the format needs a package that is not installed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("day,x,y\n1,0.5,2\n2,1.5,3\n")
    ...     read(f"{folder}/a.csv:day=2").x
    tensor([[1.5000, 3.0000]])
    """
    return open_spec(parse_spec(os.fspath(spec)), condition, weight)


def open_spec(spec: Spec, condition: Sequence[str] = (), weight: str | None = None) -> Empirical:
    """Read what a parsed specification names; see `read`."""
    if weight is not None and spec.weight not in (None, weight):
        raise InputError(f"{spec.path} is weighed by {spec.weight!r} and by {weight!r}: give one")
    weight = weight or spec.weight
    wanted = [*(each.column for each in spec.filters), *condition, *([weight] if weight else [])]
    path = _locate(spec.path)
    table = _load(path, Query(spec.path, spec.key, tuple(dict.fromkeys(wanted))))
    return _guard(
        spec.path, lambda: assemble(spec.path, table, filters=spec.filters, condition=condition, weight=weight)
    )


def _load(path: Path, query: Query) -> Table:
    reader = reader_of(path, query.path)
    return _guard(query.path, lambda: reader(path, query))


def _guard(label: str, action: Callable[[], T]) -> T:
    """Run `action`. What the parsers of a damaged file raise is theirs, and of every kind: it becomes one line that
    names the file.
    """
    try:
        return action()
    except (InputError, MissingExtra):
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"{label} cannot be read, it may be damaged or of another format: {reason}") from error


def _locate(label: str) -> Path:
    """Return the path of an existing, readable, non-empty file or folder."""
    path = Path(label).expanduser()
    try:
        if path.is_file() and os.access(path, os.R_OK):
            if path.stat().st_size == 0:
                raise InputError(f"{label} is empty: it has no bytes")
            return path
        if path.is_dir() and os.access(path, os.R_OK | os.X_OK):
            return path
        exists = path.exists()
    except OSError as error:
        raise InputError(f"cannot read {label}: {(error.strerror or str(error)).lower()}") from error
    raise InputError(
        f"cannot read {label}: no permission, or not a file" if exists else f"there is no file {label}{_similar(path)}"
    )


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent} either"
    try:
        names = os.listdir(path.parent)
    except OSError:
        return ""
    match = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"; did you mean {path.with_name(match[0])}?" if match else ""
