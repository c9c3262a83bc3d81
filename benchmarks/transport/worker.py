"""One child process in which every solver runs, on one thread of one core; a solver that overruns is ended with it.

Only a process can be stopped in the middle of compiled code. The next call starts a fresh one.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, TypeAlias

import torch

from benchmarks.memory import keep_freed_memory
from benchmarks.timing import Lap

__all__ = ["Outcome", "Prepare", "Run", "Worker"]

UNTIMED = 600.0
"""Seconds that compiling and checking may take before something must be wrong."""

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "JAX_ENABLE_X64": "1",
    "JAX_PLATFORMS": "cpu",
}


@dataclass(frozen=True)
class Run:
    """What is timed, and what to say of its result afterwards, when the clock has stopped: plain values."""

    work: Callable[[], Any]
    report: Callable[[Any], dict[str, Any]]


Prepare: TypeAlias = Callable[..., Run]
"""Imports and compiles; a function of a module, called with hashable arguments, and once for each of them."""


@dataclass(frozen=True)
class Outcome:
    """What became of a call: its time and report, or `trouble`, why there is none."""

    lap: Lap | None = None
    report: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""


class Worker:
    """Runs solvers one at a time in a process of their own. Use it in a `with` block."""

    def __init__(self) -> None:
        self.process: SpawnProcess | None = None
        self.connection: Connection | None = None

    def __enter__(self) -> Worker:
        """Start nothing yet."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        """End the process."""
        self.stop()

    def call(self, prepare: Prepare, *arguments: object, limit: float) -> Outcome:
        """Run `prepare(*arguments).work()` within `limit` seconds; preparation and report have time of their own."""
        if self.process is None:
            self._start()
        assert self.connection is not None
        self.connection.send((prepare, arguments))
        try:
            self._receive(UNTIMED, "preparing it took too long")
            lap = self._receive(limit, f"over {limit:g} s")
            return Outcome(lap, self._receive(UNTIMED, "checking it took too long"))
        except _Trouble as trouble:
            return Outcome(trouble=str(trouble))

    def stop(self) -> None:
        """End the process; the next call starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
        self.process = self.connection = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _environment(ONE_THREAD):
            process.start()
        self.process = process
        theirs.close()

    def _receive(self, limit: float, complaint: str) -> Any:
        assert self.connection is not None
        if not self.connection.poll(limit):
            self.stop()
            raise _Trouble(complaint)
        try:
            answer = self.connection.recv()
        except EOFError:
            self.stop()
            raise _Trouble("its process died") from None
        if isinstance(answer, _Trouble):
            raise answer
        return answer


class _Trouble(Exception):
    """Why a solver has no result."""


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Set variables for the processes started inside: libraries read them once, when they are loaded."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Connection) -> None:
    _settle_down()
    prepared = lru_cache(maxsize=64)(lambda prepare, arguments: prepare(*arguments))
    while True:
        try:
            prepare, arguments = connection.recv()
        except EOFError:
            return
        try:
            _serve_one(connection, prepared(prepare, arguments))
        except Exception as error:
            connection.send(_Trouble(f"{type(error).__name__}: {error}".splitlines()[0][:120]))


def _serve_one(connection: Connection, run: Run) -> None:
    gc.collect()
    connection.send("ready")
    start = Lap.now()
    result = run.work()
    connection.send(Lap.between(start, Lap.now(), 1))
    connection.send(run.report(result))


def _settle_down() -> None:
    warnings.simplefilter("ignore")  # the report says what a warning would
    keep_freed_memory()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # thread pools that no variable limits
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
