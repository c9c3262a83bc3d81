"""Holding back Ctrl-C until a step is whole, so that what is saved is what a resumed run would have had."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["held_interrupts"]


@contextmanager
def held_interrupts() -> Iterator[list[int]]:
    """Collect interrupts (SIGINT) in the list it yields instead of raising at once; a second one raises.

    Only the main thread receives signals: elsewhere nothing changes and the list stays empty.
    """
    held: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield held
        return

    def hold(number: int, _frame: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)
