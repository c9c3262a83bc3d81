"""Measures that have a name on the command line: `gaussian`, `student-t`, `digits` and the toy targets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pushforward.conditions import decode
from pushforward.errors import InputError
from pushforward.measures.digits import digits
from pushforward.measures.empirical import Empirical
from pushforward.measures.files.select import select_rows
from pushforward.measures.files.table import only_columns
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.measure import Measure
from pushforward.measures.spec import Spec
from pushforward.measures.student_t import StudentT
from pushforward.measures.toys import TOYS

__all__ = ["is_named", "named", "named_measures", "takes_shape"]

GAUSSIAN, STUDENT_T, DIGITS = "gaussian", "student-t", "digits"


def named_measures() -> dict[str, str]:
    """Return every name with one line that says what it is."""
    own = {
        GAUSSIAN: "standard normal in the shape of the other side, or of its key: gaussian:2, gaussian:1,8,8",
        STUDENT_T: "heavy-tailed noise of 3 degrees of freedom or of its key, which may add a shape: student-t:8, "
        "student-t:8,1,8,8",
        DIGITS: "1,797 handwritten digits of scikit-learn, (1, 8, 8) in [-1, 1], column label: digits:label=3",
    }
    return own | {name: _first_sentence(TOYS[name]) for name in sorted(TOYS)}


def _first_sentence(factory: Callable[[], Measure]) -> str:
    paragraph = (inspect.getdoc(factory) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).partition(". ")[0].rstrip(".:")


def is_named(name: str) -> bool:
    """Tell whether `name` is a named measure. To read a file of that name write `./name`."""
    return name in (GAUSSIAN, STUDENT_T, DIGITS) or name in TOYS


def takes_shape(text: str) -> bool:
    """Tell whether `text` names noise that takes its shape from the other side.

    >>> [takes_shape(text) for text in ("gaussian", "gaussian:2", "student-t:8", "student-t:8,2", "ring")]
    [True, False, True, False, False]
    """
    name, _, key = text.partition(":")
    return (name == GAUSSIAN and not key) or (name == STUDENT_T and "," not in key)


def named(spec: Spec, *, like: Measure | None = None, condition: Sequence[str] = ()) -> Measure:
    """Return the measure that `spec` names: noise takes its shape from `like`; `digits` may be filtered and
    conditioned by `label`.

    Raises `InputError` for a key, filter or condition that the measure does not have.
    """
    if spec.path == DIGITS:
        return _digits(spec, condition)
    if spec.filters or spec.weight or condition:
        wanted = [each.column for each in spec.filters] + [name for name in (spec.weight, *condition) if name]
        raise InputError(f"{spec.path} has no column {wanted[0]!r}: it has no columns")
    if spec.path == GAUSSIAN:
        return Gaussian(_centre("gaussian", ":", spec.key, like))
    if spec.path == STUDENT_T:
        return _student_t(spec.key, like)
    if spec.key is not None:
        raise InputError(f"{spec.path} takes no key, got {spec.key!r}")
    return TOYS[spec.path]()


def _centre(name: str, separator: str, shape: str | None, like: Measure | None) -> Tensor:
    """Return the zero point of the noise `name`, of the `shape` it says or else that of the other side."""
    dtype = like.x.dtype if isinstance(like, Empirical) else torch.get_default_dtype()
    if shape is not None:
        return torch.zeros(_sizes(name + separator, shape), dtype=dtype)
    if like is None:
        wanted = f"write it, as in {name}{separator}2"
        raise InputError(f"{name} takes its shape from the other side, which has none: {wanted}")
    return torch.zeros(like.event_shape, dtype=dtype)


def _sizes(prefix: str, shape: str) -> tuple[int, ...]:
    try:
        sizes = tuple(int(part) for part in shape.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise InputError(f"{prefix}{shape} has no shape: wanted positive numbers, as in {prefix}2 or {prefix}1,8,8")
    return sizes


def _student_t(key: str | None, like: Measure | None) -> StudentT:
    """Read `DEGREES` or `DEGREES,SHAPE`."""
    degrees, comma, shape = (key or "").partition(",")
    try:
        number = float(degrees or 3)
    except ValueError:
        raise InputError(
            f"student-t:{degrees} names no degrees of freedom: wanted a positive number, as in student-t:8"
        ) from None
    return StudentT(_centre(f"{STUDENT_T}:{degrees}", ",", shape if comma else None, like), degrees=number)


def _digits(spec: Spec, condition: Sequence[str]) -> Empirical:
    if spec.key is not None or spec.weight is not None:
        raise InputError(f"digits takes no key or weight, got {spec.key or spec.weight!r}")
    whole = digits()
    columns = decode(whole.condition, whole.schema)
    only_columns(DIGITS, [*(each.column for each in spec.filters), *condition], columns)
    rows = select_rows(DIGITS, spec.filters, columns, len(whole))
    chosen = {name: columns[name][rows] for name in condition}
    return Empirical(whole.x[torch.from_numpy(rows)], chosen or None)
