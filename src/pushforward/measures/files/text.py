"""Tables in text: `.csv`, `.tsv`, `.txt`, with or without a header row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pushforward.errors import InputError
from pushforward.measures.files.table import Query, Table, feature_columns, table_of_columns

__all__ = ["read_text"]

_DTYPES = {torch.float64: np.float64, torch.float32: np.float32}


@dataclass(frozen=True)
class _Sheet:
    """The cells by column name, and the line of the file that each row came from."""

    columns: dict[str, tuple[str, ...]]
    lines: tuple[int, ...]


def read_text(path: Path, query: Query) -> Table:
    """Read the columns in the key (default: every numeric one that the query does not use otherwise).

    Lines that start with `#` are comments. Columns are separated by comma, tab, semicolon or blanks, whichever the
    first line has, in this order. Without a header row the columns are `x1, x2, ...`. A column is numeric when most of
    its cells are numbers, and then all must be. Columns without a name, such as the row numbers that pandas writes, are
    left out. Text has no precision of its own: points are of torch's default type.
    """
    sheet = _sheet(query.path, path)
    numeric = {name: _mostly_numbers(cells) for name, cells in sheet.columns.items()}
    dtype = _DTYPES.get(torch.get_default_dtype(), np.float32)
    features = {name: _numbers(query.path, name, sheet).astype(dtype) for name in feature_columns(query, numeric)}
    columns = {name: _column(query.path, name, sheet, numeric[name]) for name in query.columns}
    table = table_of_columns(query, features, columns)
    return replace(table, where=lambda row: f"line {sheet.lines[row]}")


def _sheet(label: str, path: Path) -> _Sheet:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(file))
    except UnicodeDecodeError as error:
        raise InputError(f"{label} is not text in UTF-8 (byte {error.start})") from error
    except csv.Error as error:
        raise InputError(f"{label} is not a table: {error}") from error
    if not rows:
        raise InputError(f"{label} has no rows")
    cells = [row for _, row in rows]
    header = _has_header(cells)
    names = [name.strip() for name in cells[0]] if header else [f"x{i + 1}" for i in range(len(cells[0]))]
    _check_names(label, names)
    if len(rows) == header:
        raise InputError(f"{label} has a header but no rows")
    for line, row in rows:
        if len(row) != len(names):
            raise InputError(f"{label}: line {line} has {len(row)} cells but line {rows[0][0]} has {len(names)}")
    columns = zip(*cells[header:], strict=True)
    return _Sheet(dict(zip(names, columns, strict=True)), tuple(line for line, _ in rows[header:]))


def _rows(file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of the line on which each row ends, and its cells."""
    lines = _Lines(file)
    first = next(lines, "")
    delimiter = next((mark for mark in ",\t;" if mark in first), None)
    lines.put_back(first)
    rows = (line.split() for line in lines) if delimiter is None else csv.reader(lines, delimiter=delimiter)
    yield from ((lines.number, row) for row in rows if row)


class _Lines:
    """The lines that are neither comments nor blank, counting all."""

    def __init__(self, file: Iterable[str]) -> None:
        self._file, self._held, self.number = iter(file), "", 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line, self._held = self._held, ""
        while not line.strip() or line.lstrip().startswith("#"):
            line = next(self._file)
            self.number += 1
        return line

    def put_back(self, line: str) -> None:
        self._held = line


def _has_header(rows: list[list[str]]) -> int:
    """Tell whether the first row names the columns: 1 or 0.

    It does unless it has numbers where the second row has numbers. Columns numbered 0, 1, 2, ... above numbers that are
    not whole are names too.
    """
    first, second = rows[0], rows[min(1, len(rows) - 1)]
    if all(_is_number(cell) for cell in first):
        counted = len(rows) > 1 and first == [str(i) for i in range(len(first))]
        return int(counted and not all(_is_integer(cell) for cell in second))
    return int(len(rows) == 1 or not any(_is_number(cell) for cell in first) or _pattern(first) != _pattern(second))


def _pattern(row: list[str]) -> list[bool]:
    return [_is_number(cell) for cell in row]


def _check_names(label: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name and name in seen:
            raise InputError(f"{label} has two columns named {name!r}")
        seen.add(name)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_000 as a number, but it is a label


def _is_integer(cell: str) -> bool:
    return cell.strip().lstrip("+-").isdecimal()


def _mostly_numbers(cells: tuple[str, ...]) -> bool:
    if _all_numbers(cells) is not None:
        return True
    filled = [cell for cell in cells if cell.strip()]
    return 2 * sum(map(_is_number, filled)) > len(filled)


def _all_numbers(cells: tuple[str, ...]) -> np.ndarray | None:
    """Return a column without gaps as floats, in one call, or `None` if not every cell is a number."""
    try:
        return None if "_" in "".join(cells) else np.array(cells, dtype=np.float64)
    except ValueError:
        return None


def _numbers(label: str, name: str, sheet: _Sheet) -> np.ndarray:
    """Return a column as floats, NaN where a cell is empty; raise `InputError` at the first that is not a number."""
    cells = sheet.columns[name]
    numbers = _all_numbers(cells)
    if numbers is not None:
        return numbers
    for line, cell in zip(sheet.lines, cells, strict=True):
        if cell.strip() and not _is_number(cell):
            raise InputError(f"{label}: line {line}, column {name!r} is {cell[:40]!r}, wanted a number")
    return np.array([float(cell) if cell.strip() else np.nan for cell in cells])


def _column(label: str, name: str, sheet: _Sheet, numeric: bool) -> np.ndarray:
    """Return a column as integers, floats or text; whole numbers with gaps stay text, so that they stay categories."""
    cells = sheet.columns[name]
    whole = [_is_integer(cell) for cell in cells if cell.strip()]
    if not numeric or (all(whole) and len(whole) < len(cells)):
        return np.array([cell.strip() for cell in cells], dtype=str)
    numbers = _numbers(label, name, sheet)
    return numbers.astype(np.int64) if all(whole) and np.abs(numbers).max() < 2**53 else numbers
