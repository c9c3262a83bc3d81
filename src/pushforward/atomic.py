"""Write a file or a folder so that it is either the old one or the whole new one, never half of it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pushforward.errors import InputError

__all__ = ["atomic_path"]


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; write a file or make a folder there, and it takes the place of
    `path`.

    The temporary name keeps the suffix, since many writers choose their format by it. On success what was written
    reaches the disk and then replaces `path` in one step (a folder that was there is set aside first and removed
    after); on any failure it is removed and `path` is as it was. Writing nothing leaves `path` alone.

    Raises `InputError` (one line naming `path`) for what the system refuses: no such folder, no permission, a full
    disk.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(f"{folder}/a.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     Path(folder, "a.txt").read_text()
    'whole'
    """
    target = Path(path)
    if not target.name:
        raise InputError(f"cannot write {str(path)!r}: it names no file")
    temporary = target.with_name(f".{uuid.uuid4().hex[:12]}{target.suffix}")
    try:
        yield temporary
        if os.path.lexists(temporary):
            _sync(temporary)
            _replace(temporary, target)
            _sync_folder(target.parent)
    except OSError as error:
        raise InputError(f"cannot write {str(target)!r}: {_reason(error, target)}") from error
    finally:
        _remove(temporary)


def _replace(temporary: Path, target: Path) -> None:
    """Put `temporary` in the place of `target`; `os.replace` alone does not take the place of a folder that is not
    empty.
    """
    if not (target.is_dir() and temporary.is_dir()):
        os.replace(temporary, target)
        return
    aside = temporary.with_name(f"{temporary.name}.old")
    os.replace(target, aside)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(aside, target)
        raise
    _remove(aside)


def _sync(path: Path) -> None:
    """Flush every file below `path`, and the folders that name them, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            _sync(child)
        _sync_folder(path)
        return
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # elsewhere a folder cannot be opened, and its entries are written with the file
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _reason(error: OSError, target: Path) -> str:
    if not target.parent.is_dir():
        return f"there is no folder {str(target.parent)!r}: make it first"
    return (error.strerror or f"is the disk full? ({error})").lower()
