"""Walk through an HDF5 file in another process first.

On some damaged files the HDF5 library does not raise: it reads outside its memory or never returns, and takes the
program with it. A helper process, started once and kept, makes the same calls beforehand; if it dies or does not
answer, the file is refused.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from functools import lru_cache
from pathlib import Path

from pushforward.errors import InputError

__all__ = ["probe_hdf5"]

SECONDS = 10.0
"""How long the walk may take, besides a second for every 20 MB: numbers are not read, only text and the index of the
chunks.
"""

_lock = threading.Lock()

_WALK = """
import json, sys
import h5py

def visit(name, item):
    for key in item.attrs:
        item.attrs[key]
    if isinstance(item, h5py.Dataset):
        if item.chunks:
            item.id.get_num_chunks()
        if item.dtype.hasobject:
            item[()]
        elif item.shape and item.size:
            item[:1], item[-1:]

print("ready", flush=True)
for line in sys.stdin:
    try:
        with h5py.File(json.loads(line), "r") as file:
            visit("/", file)
            file.visititems(visit)
    except Exception:
        pass  # what raises here raises in the reader too, which says so
    print("walked", flush=True)
"""


def probe_hdf5(label: str, path: Path) -> None:
    """Raise `InputError` for a file in which the HDF5 library crashes or loops; return where no helper process can be
    had.
    """
    with _lock:
        helper = _helper()
        if helper is None:
            return
        limit = threading.Timer(SECONDS + path.stat().st_size / 20e6, helper.kill)
        limit.start()
        answer = _ask(helper, str(path.absolute()))
        limit.cancel()
        if answer != "walked":
            _stop(helper)
            _helper.cache_clear()
            raise InputError(f"{label} is damaged: the HDF5 library crashes on it, or does not come back")


@lru_cache(maxsize=1)
def _helper() -> subprocess.Popen[str] | None:
    command = [sys.executable, "-P", "-c", _WALK]
    try:
        pipe = subprocess.PIPE
        helper = subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
    except OSError:
        return None
    assert helper.stdout is not None
    atexit.register(_stop, helper)
    return helper if helper.stdout.readline().strip() == "ready" else None


def _ask(helper: subprocess.Popen[str], path: str) -> str:
    assert helper.stdin is not None and helper.stdout is not None
    try:
        helper.stdin.write(json.dumps(path) + "\n")
        helper.stdin.flush()
        return helper.stdout.readline().strip()
    except OSError:  # it is gone
        return ""


def _stop(helper: subprocess.Popen[str]) -> None:
    helper.kill()
    helper.wait()
    for pipe in (helper.stdin, helper.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # what was not yet sent to it
                pipe.close()
