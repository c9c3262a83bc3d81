"""What goes wrong, by whose mistake: every error a user can cause is an `InputError` with one clear line."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = ["ConvergenceWarning", "InputError", "MissingExtra", "nearest", "optional_import"]


class InputError(ValueError):
    """A mistake in what the user gave. The message says what was got, what was wanted and what to do instead."""


class MissingExtra(ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class ConvergenceWarning(UserWarning):
    """An iteration stopped before it reached its tolerance; the message carries the figures."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the known name closest to `name`, else `"; known: a, b, c"`.

    >>> nearest("mons", ["moons", "digits"])
    "; did you mean 'moons'?"
    """
    known = sorted(known)
    match = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    more = ", ..." if len(known) > 20 else ""
    return f"; did you mean {match[0]!r}?" if match else f"; known: {', '.join(known[:20])}{more}"


def optional_import(module: str, extra: str, purpose: str) -> ModuleType:
    """Import `module`, or raise `MissingExtra` saying which extra of pushforward brings it and what it is for."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise MissingExtra(
            f"{purpose} needs the package {package!r}: install it with  pip install 'pushforward[{extra}]'"
        ) from error
