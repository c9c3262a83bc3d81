"""The stream of training pairs: every step's batch is a function of (seed, step), solved ahead in worker threads."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice

import torch

from pushforward.contracts import Coupling, Pairs
from pushforward.maps import Frame
from pushforward.measures import Measure
from pushforward.randomness import seeded

__all__ = ["PairStream"]

BULK_BATCHES, BULK_NUMBERS = 16, 1 << 20
POOL_BATCHES, PASSES, WINDOW_NUMBERS = 4, 4, 1 << 24


@dataclass(frozen=True)
class PairStream:
    """Pairs for training, drawn from `source` and `target`, brought into their frames and coupled.

    The coupling sees a whole *pool* of `pool` batches at once and the batches are cut from it: a larger pool gives a
    coupling closer to that of the measures, and is solved once per `pool` steps. Nothing depends on the order in which
    pools are asked for, so workers can run ahead and a resumed run continues exactly. With several processes each draws
    pools of its own (`rank`, `ranks`) of `batch_size` rows a batch.

    With `passes` over 1 the pools are dealt out that often: as many of them as there are passes are mixed into one
    *window*, and every pass cuts its batches from a new random order of it. The times of the pairs, and whatever else
    an objective draws, are new in every pass; the coupling costs `1 / passes` of what it did.
    """

    source: Measure
    target: Measure
    coupling: Coupling
    source_frame: Frame
    target_frame: Frame
    batch_size: int = 256
    pool: int = 1
    passes: int = 1
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    gaussian_source: bool = field(init=False)

    def __post_init__(self) -> None:
        """Note whether sources are exactly N(0, I) in the units of the network."""
        identity = bool((self.source_frame.scale == 1) & (self.source_frame.shift == 0).all())
        object.__setattr__(self, "gaussian_source", self.source.is_standard_normal and identity)

    def probe(self, seed: int) -> Pairs:
        """Couple a handful of rows, to see early whether everything fits together and whether scores stay known."""
        return replace(self, batch_size=8, pool=1, passes=1, seed=seed, rank=0, ranks=1).coupled(0)

    def arranged(self, pool: int | None, passes: int | None) -> PairStream:
        """Return this stream with so many batches in a pool and passes over it; what is `None` is chosen.

        Several batches are drawn at once where the coupling does not mind, since drawing in bulk is cheaper, and paired
        together where it gains by it; only pairs that are dear are used more than once. Windows stay of moderate size:
        the first should soon be there.
        """
        numbers = self.batch_size * math.prod(self.target.event_shape)
        dear = self.coupling.pool_rows > 0
        if passes is None:
            passes = PASSES if dear and PASSES * numbers <= WINDOW_NUMBERS else 1
        if pool is None and dear:
            pool = min(POOL_BATCHES, self.coupling.pool_rows // self.batch_size, WINDOW_NUMBERS // (passes * numbers))
        elif pool is None:
            pool = min(BULK_BATCHES, BULK_NUMBERS // numbers) if self.coupling.rowwise else 1
        return replace(self, pool=max(1, pool), passes=passes)

    def coupled(self, index: int) -> Pairs:
        """Draw and couple pool number `index`: `pool * batch_size` pairs."""
        block, rows = index * self.ranks + self.rank, self.pool * self.batch_size
        x0 = self.source.block(block, rows, seed=_stream_seed(self.seed, 0))
        x1 = self.target.block(block, rows, seed=_stream_seed(self.seed, 1))
        return self.coupling(
            self.source_frame.enter(x0.x), self.target_frame.enter(x1.x), x1.condition,
            gaussian_source=self.gaussian_source, generator=seeded(self.seed, "coupling", block),
        )  # fmt: skip

    def window(self, index: int) -> Pairs:
        """Draw and couple the pools of window number `index`."""
        if self.passes == 1:
            return self.coupled(index)
        return Pairs.joined([self.coupled(index * self.passes + number) for number in range(self.passes)])

    def batches(self, index: int, window: Pairs) -> Iterator[Pairs]:
        """Cut the batches of window number `index`, in the order of their steps."""
        if len(window) == self.batch_size:
            yield window
            return
        for number in range(self.passes):
            order = None
            if self.passes > 1:
                order = torch.randperm(len(window), generator=seeded(self.seed, "pass", self.rank, index, number))
            for first in range(0, len(window), self.batch_size):
                rows = slice(first, first + self.batch_size)
                yield window[rows if order is None else order[rows]]

    @contextmanager
    def prefetched(self, first: int, last: int, *, ahead: int = 2) -> Iterator[Iterator[Pairs]]:
        """Yield an iterator over the batches of steps `first .. last - 1`, with up to `ahead` windows solved in a
        worker meanwhile.
        """
        threads = min(ahead, max(1, (os.cpu_count() or 1) - 1))  # one core is left to the network
        workers = ThreadPoolExecutor(threads, thread_name_prefix="coupling") if ahead else None
        try:
            yield self._batches(first, last, ahead, workers)
        finally:
            if workers is not None:
                workers.shutdown(wait=True, cancel_futures=True)

    def _batches(self, first: int, last: int, ahead: int, workers: ThreadPoolExecutor | None) -> Iterator[Pairs]:
        if last <= first:
            return
        steps = self.pool * self.passes**2
        stop = (last - 1) // steps + 1
        waiting: dict[int, Future[Pairs]] = {}
        for index in range(first // steps, stop):
            if workers is None:
                window = self.window(index)
            else:
                for number in range(index, min(index + ahead, stop - 1) + 1):
                    if number not in waiting:
                        waiting[number] = workers.submit(self.window, number)
                window = waiting.pop(index).result()
            start = index * steps
            yield from islice(self.batches(index, window), max(first - start, 0), last - start)


@lru_cache(maxsize=64)
def _stream_seed(seed: int, stream: int) -> int:
    return int(torch.randint(2**31, (1,), generator=seeded(seed, "stream", stream)))
