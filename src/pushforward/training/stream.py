"""The stream of training pairs: every step's batch is a function of (seed, step), solved ahead in worker threads."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch

from pushforward.contracts import Coupling, Pairs
from pushforward.maps import Frame
from pushforward.measures import Measure
from pushforward.randomness import seeded

__all__ = ["PairStream"]

BULK_BATCHES, BULK_NUMBERS = 16, 1 << 20


@dataclass(frozen=True)
class PairStream:
    """Pairs for training, drawn from `source` and `target`, brought into their frames and coupled.

    The coupling sees a whole *pool* of `pool` batches at once and the batches are cut from it: a larger pool gives a
    coupling closer to that of the measures, and is solved once per `pool` steps. Nothing depends on the order in which
    pools are asked for, so workers can run ahead and a resumed run continues exactly. With several processes each draws
    pools of its own (`rank`, `ranks`) of `batch_size` rows a batch.
    """

    source: Measure
    target: Measure
    coupling: Coupling
    source_frame: Frame
    target_frame: Frame
    batch_size: int = 256
    pool: int = 1
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
        return replace(self, batch_size=8, pool=1, seed=seed, rank=0, ranks=1).coupled(0)

    def bulk(self, batch_size: int) -> int:
        """Return how many batches to draw at once when nothing is asked for: several where the coupling does not mind,
        since drawing in bulk is cheaper, one where a larger set of rows would be another coupling.
        """
        numbers = batch_size * math.prod(self.target.event_shape)
        return max(1, min(BULK_BATCHES, BULK_NUMBERS // numbers)) if self.coupling.rowwise else 1

    def coupled(self, index: int) -> Pairs:
        """Draw and couple pool number `index`: `pool * batch_size` pairs."""
        block, rows = index * self.ranks + self.rank, self.pool * self.batch_size
        x0 = self.source.block(block, rows, seed=_stream_seed(self.seed, 0))
        x1 = self.target.block(block, rows, seed=_stream_seed(self.seed, 1))
        return self.coupling(
            self.source_frame.enter(x0.x), self.target_frame.enter(x1.x), x1.condition,
            gaussian_source=self.gaussian_source, generator=seeded(self.seed, "coupling", block),
        )  # fmt: skip

    def batch(self, pairs: Pairs, step: int) -> Pairs:
        """Cut the batch of `step` out of its pool."""
        if self.pool == 1:
            return pairs
        first = (step % self.pool) * self.batch_size
        return pairs[first : first + self.batch_size]

    @contextmanager
    def prefetched(self, first: int, last: int, *, ahead: int = 2) -> Iterator[Iterator[Pairs]]:
        """Yield an iterator over the batches of steps `first .. last - 1`, with up to `ahead` pools solved in a worker
        meanwhile.
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
        stop = (last - 1) // self.pool + 1
        waiting: dict[int, Future[Pairs]] = {}
        for index in range(first // self.pool, stop):
            if workers is None:
                pairs = self.coupled(index)
            else:
                for number in range(index, min(index + ahead, stop - 1) + 1):
                    if number not in waiting:
                        waiting[number] = workers.submit(self.coupled, number)
                pairs = waiting.pop(index).result()
            for step in range(max(first, index * self.pool), min(last, (index + 1) * self.pool)):
                yield self.batch(pairs, step)


@lru_cache(maxsize=64)
def _stream_seed(seed: int, stream: int) -> int:
    return int(torch.randint(2**31, (1,), generator=seeded(seed, "stream", stream)))
