"""Loops that run as machine code: what has no form as tensor operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

__all__ = ["compiled", "vectorised"]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called, and keep the result on disk.

    It runs without the interpreter lock. Functions that call one another belong in one file: what is kept is made anew
    when that file changes, not when another does.
    """
    return cast(F, numba.njit(nogil=True, cache=True)(function))


def vectorised(function: F) -> F:
    """Compile a short loop over numbers (none of them NaN) whose sums and minima may be taken in any order."""
    return cast(F, numba.njit(nogil=True, cache=True, fastmath={"nnan", "nsz", "reassoc"})(function))
