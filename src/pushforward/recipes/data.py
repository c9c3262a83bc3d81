"""Where the data of recipes lie."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["data_folder"]


def data_folder() -> Path | None:
    """Return the folder that the environment variable PUSHFORWARD_DATA names, or None where it is unset or empty."""
    named = os.environ.get("PUSHFORWARD_DATA")
    return Path(named) if named else None
