"""What push, pull and log-prob share: opening the run, reading rows and conditions, working in batches."""

from __future__ import annotations

import difflib
import inspect
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from pushforward.cli.arguments import Mark
from pushforward.conditions import Column, decode
from pushforward.errors import InputError, nearest
from pushforward.maps import Transport, load
from pushforward.measures import Empirical, Gaussian, Measure, Samples, as_measure, write_samples
from pushforward.measures.named import DIGITS, is_named
from pushforward.measures.spec import parse_spec

__all__ = [
    "Conditions",
    "Device",
    "FixedMethod",
    "Method",
    "Output",
    "Rows",
    "Run",
    "accepted",
    "batches",
    "in_batches",
    "open_run",
    "read_rows",
    "rehearse",
    "write_rows",
]

Run: TypeAlias = Annotated[str, Mark(shows="RUN")]
Output: TypeAlias = Annotated[str, Mark(short="-o", shows="OUTPUT")]
Conditions: TypeAlias = Annotated[list[str] | None, Mark(short="-c", shows="NAME=VALUE")]
Device: TypeAlias = Literal["auto", "cpu"]
FixedMethod: TypeAlias = Literal["euler", "midpoint", "heun", "rk4", "ab2", "pseudo-corrector", "ddim", "dpm++2m"]
Method: TypeAlias = Literal[FixedMethod, "dopri5", "euler-maruyama", "stochastic-heun"]

ENTRIES = 1 << 22
"""Numbers in one batch."""


@dataclass(frozen=True)
class Rows:
    """Points `x: (n, *event)`, their conditions in the user's terms, and the names of their features."""

    x: Tensor
    condition: dict[str, np.ndarray]
    names: tuple[str, ...] | None


def open_run(run: str, device: Device = "auto") -> Transport:
    """Load the transport of a run. Raises `InputError`, with the nearest run, when there is none."""
    path = Path(run)
    if not path.is_dir():
        beside = [item.name for item in path.parent.iterdir() if item.is_dir()] if path.parent.is_dir() else []
        match = difflib.get_close_matches(path.name, beside, n=1, cutoff=0.5)
        hint = f"; did you mean {str(path.with_name(match[0]))!r}?" if match else ": give what fit --out wrote"
        raise InputError(f"there is no run {run!r}{hint}")
    return load(path, device="cuda" if device == "auto" and torch.cuda.is_available() else "cpu")


def accepted(method: Callable[..., Tensor], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given. Raises `InputError` for one that the transport's `method` does not take."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in inspect.signature(method).parameters:
            raise InputError(f"--{name} has no effect on this transport: leave it out")
    return given


def read_rows(
    transport: Transport, text: str, condition: list[str] | None, *, rows: int | None = None, seed: int = 0
) -> Rows:
    """Read the rows of a file or draw them from a named measure, with a condition for each.

    `condition` holds `NAME=VALUE`, `NAME=A,B,C` (rows take turns) or `NAME=` (absent); conditions that it leaves out
    are columns of the file.
    """
    if rows is not None and rows < 1:
        raise InputError(f"--rows must be at least 1, got {rows}")
    schema = transport.schema
    given = _given(condition or [], schema)
    columns = tuple(name for name, column in schema.items() if name not in given and column.default is None)
    shape = Gaussian(torch.zeros(transport.event_shape))
    measure = as_measure(text, like=shape, condition=columns if _has_columns(text) else ())
    if columns and not measure.schema:
        example = f"{columns[0]}={(schema[columns[0]].categories or (0.5,))[0]}"
        raise InputError(
            f"the transport is conditioned on {', '.join(columns)}: give --condition {example}, "
            f"or --condition {columns[0]}= for none"
        )
    found = _draw(measure, text, rows, seed)
    held = decode(found.condition, measure.schema)
    spread = {name: _spread(values, schema[name], len(found.x)) for name, values in given.items()}
    known = {name: value for name, value in spread.items() if value is not None}
    return Rows(found.x, held | known, measure.names if isinstance(measure, Empirical) else None)


def _draw(measure: Measure, text: str, rows: int | None, seed: int) -> Samples:
    """Take every row of a data set, or draw as many as asked for."""
    if rows is not None:
        return measure.block(0, rows, seed=seed)
    if not isinstance(measure, Empirical):
        raise InputError(f"{text} has no rows of its own: say how many to draw with --rows N")
    return measure.rows(torch.arange(len(measure)))


def _has_columns(text: str) -> bool:
    """Files have columns, and so have the digits: asking another measure for one is an error."""
    path = parse_spec(text).path
    return path == DIGITS or not is_named(path)


def _given(condition: list[str], schema: dict[str, Column]) -> dict[str, str]:
    given = {}
    for item in condition:
        name, equals, value = item.partition("=")
        if not schema:
            raise InputError(f"--condition {item} given, but this transport has no condition")
        if name not in schema:
            raise InputError(f"the transport has no condition {name!r}{nearest(name, schema)}")
        if not equals:
            continue  # a bare name is the column of that name, which is what happens anyway
        given[name] = value
    return given


def _spread(text: str, column: Column, rows: int) -> np.ndarray | None:
    """Return one value for each row, the values taking turns; `None` for no value at all."""
    if text == "":
        return None
    values: list[Any] = text.split(",")
    if column.categories is None:
        values = [_number(value) for value in values]
        if column.width > 1:
            return np.tile(np.array(values), (rows, 1))
    return np.resize(np.array(values), rows)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--condition wanted a number, got {text!r}") from None


def in_batches(function: Callable[[Tensor, dict[str, np.ndarray]], Tensor], rows: Rows) -> Tensor:
    """Apply `function(x, condition)` to so many rows at a time that memory stays bounded, and join what it returns on
    the CPU.
    """
    return torch.cat([function(part.x, part.condition).cpu() for part in batches(rows)])


def batches(rows: Rows) -> Iterator[Rows]:
    """Cut rows into parts so small that memory stays bounded."""
    size = max(1, ENTRIES // max(1, rows.x[0].numel()))
    for first in range(0, len(rows.x), size):
        part = slice(first, first + size)
        yield Rows(rows.x[part], {name: value[part] for name, value in rows.condition.items()}, rows.names)


def write_rows(
    path: str, x: Tensor, rows: Rows, names: tuple[str, ...] | None, extra: dict[str, np.ndarray] | None = None
) -> None:
    """Write points with their conditions and further columns; an `.npy` holds the points alone."""
    kept = {} if path.lower().endswith(".npy") else rows.condition
    fitting = names if names is not None and x.ndim == 2 and len(names) == x.shape[1] else None
    write_samples(path, x, names=fitting, columns=kept | (extra or {}))


def rehearse(path: str, rows: Rows, names: tuple[str, ...] | None, extra: tuple[str, ...] = ()) -> None:
    """Raise `InputError` before the work where its result could not be written: one row is written elsewhere in the
    same format.
    """
    if not Path(path).parent.is_dir():
        raise InputError(f"cannot write {path!r}: there is no folder {str(Path(path).parent)!r}: make it first")
    one = Rows(rows.x[:1], {name: value[:1] for name, value in rows.condition.items()}, rows.names)
    with tempfile.TemporaryDirectory() as folder:
        place = f"{folder}/{Path(path).name}{'/' if path.endswith('/') else ''}"
        write_rows(place, one.x, one, names, {name: np.zeros(1) for name in extra})
