"""How data are named on the command line: `PATH[:KEY][:COLUMN=VALUE]...[:@COLUMN]`."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pushforward.errors import InputError

__all__ = ["Filter", "Spec", "parse_spec"]


@dataclass(frozen=True)
class Filter:
    """Keep the rows whose `column` equals any of `values`."""

    column: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.column}={','.join(self.values)}"


@dataclass(frozen=True)
class Spec:
    """A file or named measure, what to take from it (`key`), which rows (`filters`, all must hold) and which column
    weighs them.
    """

    path: str
    key: str | None = None
    filters: tuple[Filter, ...] = ()
    weight: str | None = None


def parse_spec(text: str) -> Spec:
    """Read `PATH[:KEY][:COLUMN=VALUE]...[:@COLUMN]`.

    Several `:COLUMN=VALUE` must all hold; `VALUE` may be a list `a,b` of which any may hold; `:@COLUMN` weighs the
    rows. A colon in `PATH` is allowed where such a file exists. Raises `InputError` for a part that fits none of these.

    >>> parse_spec("cells.h5ad:obsm/X_pca:day=2,3").filters
    (Filter(column='day', values=('2', '3')),)
    """
    path, parts = _split(text)
    if not path:
        raise InputError(f"{text!r} names no file: wanted PATH[:KEY][:COLUMN=VALUE]")
    keys = [part for part in parts if "=" not in part and not part.startswith("@")]
    weights = [part[1:] for part in parts if part.startswith("@")]
    if len(keys) > 1 or len(weights) > 1:
        first, second = (keys if len(keys) > 1 else weights)[:2]
        raise InputError(
            f"{text!r} has both {first!r} and {second!r} where one is wanted: PATH[:KEY][:COLUMN=VALUE][:@WEIGHT]"
        )
    if "" in keys or "" in weights:
        raise InputError(f"{text!r} has an empty part: wanted PATH[:KEY][:COLUMN=VALUE][:@WEIGHT]")
    filters = tuple(_filter(text, part) for part in parts if "=" in part and not part.startswith("@"))
    return Spec(path, keys[0] if keys else None, filters, weights[0] if weights else None)


def _split(text: str) -> tuple[str, list[str]]:
    """Cut at the colons; the path is the longest beginning that exists, or else the first part (with a drive letter
    before it).
    """
    parts = text.split(":")
    for n in range(len(parts), 1, -1):
        if _exists(":".join(parts[:n])):
            return ":".join(parts[:n]), parts[n:]
    drive = len(parts) > 1 and len(parts[0]) == 1 and parts[1][:1] in ("\\", "/")
    n = 2 if drive else 1
    return ":".join(parts[:n]), parts[n:]


def _exists(path: str) -> bool:
    try:
        return os.path.exists(os.path.expanduser(path))
    except ValueError:  # a null character
        return False


def _filter(text: str, part: str) -> Filter:
    column, _, values = part.partition("=")
    found = tuple(value.strip() for value in values.split(","))
    if not column.strip() or "" in found:
        raise InputError(f"{text!r}: the filter {part!r} needs a column and a value, as in label=3 or label=3,8")
    return Filter(column.strip(), found)
