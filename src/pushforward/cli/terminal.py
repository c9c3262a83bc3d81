"""How the command line speaks: results on standard output, one line for what is wrong on standard error."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["bold", "complain", "one_line", "tidy_warnings"]


def bold(text: str) -> str:
    """Return `text` in bold where standard output is a terminal and NO_COLOR is not set."""
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def one_line(message: object) -> str:
    """Return a message without its line breaks."""
    return " ".join(str(message).split())


def complain(kind: str, message: object) -> None:
    """Write `pushforward: KIND: MESSAGE`, one line, to standard error."""
    red = "\033[31m", "\033[0m"
    start, end = red if sys.stderr.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"pushforward: {start}{kind}:{end} {one_line(message)}", file=sys.stderr)


@contextmanager
def tidy_warnings(debug: bool) -> Iterator[None]:
    """Show pushforward's own warnings as one line each and leave out those of the libraries underneath (all of them
    with `debug`).
    """

    def show(message: Warning | str, category: type[Warning], filename: str, *_: Any) -> None:
        if debug or "pushforward" in filename or category.__module__.startswith("pushforward"):
            complain("warning", message)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield
