"""Measures that have a name on the command line: `gaussian`, `digits` and the toy targets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import torch

from pushforward.conditions import decode
from pushforward.errors import InputError
from pushforward.measures.digits import digits
from pushforward.measures.empirical import Empirical
from pushforward.measures.files.select import select_rows
from pushforward.measures.files.table import only_columns
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.measure import Measure
from pushforward.measures.spec import Spec
from pushforward.measures.toys import TOYS

__all__ = ["is_named", "named", "named_measures"]

GAUSSIAN, DIGITS = "gaussian", "digits"


def named_measures() -> dict[str, str]:
    """Return every name with one line that says what it is."""
    own = {
        GAUSSIAN: "standard normal in the shape of the other side, or of its key: gaussian:2, gaussian:1,8,8",
        DIGITS: "1,797 handwritten digits of scikit-learn, (1, 8, 8) in [-1, 1], column label: digits:label=3",
    }
    return own | {name: _first_sentence(TOYS[name]) for name in sorted(TOYS)}


def _first_sentence(factory: Callable[[], Measure]) -> str:
    paragraph = (inspect.getdoc(factory) or "").partition("\n\n")[0]
    return " ".join(paragraph.split()).partition(". ")[0].rstrip(".:")


def is_named(name: str) -> bool:
    """Tell whether `name` is a named measure. To read a file of that name write `./name`."""
    return name in (GAUSSIAN, DIGITS) or name in TOYS


def named(spec: Spec, *, like: Measure | None = None, condition: Sequence[str] = ()) -> Measure:
    """Return the measure that `spec` names: `gaussian` takes its shape from `like`; `digits` may be filtered and
    conditioned by `label`.

    Raises `InputError` for a key, filter or condition that the measure does not have.
    """
    if spec.path == DIGITS:
        return _digits(spec, condition)
    if spec.filters or spec.weight or condition:
        wanted = [each.column for each in spec.filters] + [name for name in (spec.weight, *condition) if name]
        raise InputError(f"{spec.path} has no column {wanted[0]!r}: it has no columns")
    if spec.path == GAUSSIAN:
        return _gaussian(spec.key, like)
    if spec.key is not None:
        raise InputError(f"{spec.path} takes no key, got {spec.key!r}")
    return TOYS[spec.path]()


def _gaussian(key: str | None, like: Measure | None) -> Gaussian:
    dtype = like.x.dtype if isinstance(like, Empirical) else torch.get_default_dtype()
    if key is not None:
        try:
            shape = tuple(int(part) for part in key.split(","))
        except ValueError:
            shape = (0,)
        if min(shape) < 1:
            raise InputError(
                f"gaussian:{key} has no shape: wanted positive numbers, as in gaussian:2 or gaussian:1,8,8"
            )
        return Gaussian(torch.zeros(shape, dtype=dtype))
    if like is None:
        raise InputError("gaussian takes its shape from the other side, which has none: write it, as in gaussian:2")
    return Gaussian(torch.zeros(like.event_shape, dtype=dtype))


def _digits(spec: Spec, condition: Sequence[str]) -> Empirical:
    if spec.key is not None or spec.weight is not None:
        raise InputError(f"digits takes no key or weight, got {spec.key or spec.weight!r}")
    whole = digits()
    columns = decode(whole.condition, whole.schema)
    only_columns(DIGITS, [*(each.column for each in spec.filters), *condition], columns)
    rows = select_rows(DIGITS, spec.filters, columns, len(whole))
    chosen = {name: columns[name][rows] for name in condition}
    return Empirical(whole.x[torch.from_numpy(rows)], chosen or None)
