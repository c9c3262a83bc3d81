"""Keep freed memory in the process, so that timings do not depend on the allocator's luck."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # glibc's names for mallopt
_LARGEST_BLOCK, _LARGEST_FREE = 1 << 25, 1 << 30


def keep_freed_memory() -> bool:
    """Tell glibc neither to map large blocks one by one nor to give free memory back; return whether it took it.

    Otherwise activations of a megabyte may be mapped, and their pages cleared, anew in every step. Whether that happens
    depends on what was allocated before, and costs up to a fifth of a step. Does nothing on other C libraries.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(mallopt(_TRIM_THRESHOLD, _LARGEST_FREE))
