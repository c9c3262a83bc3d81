import threading
import time
from dataclasses import dataclass, replace

import torch

from pushforward.contracts import Coupling, Pairs
from pushforward.couplings import Independent, MinibatchOT
from pushforward.maps import Frame
from pushforward.measures import Empirical, Gaussian
from pushforward.training import PairStream


def stream(**options) -> PairStream:
    target = Empirical(torch.arange(60.0).reshape(30, 2), condition=list(range(30)))
    return PairStream(
        Gaussian.standard(2), target, Independent(), Frame((2,)), Frame((2,)), **{"batch_size": 5, "seed": 3} | options
    )


def batches(s: PairStream, first: int, last: int, ahead: int) -> list[Pairs]:
    with s.prefetched(first, last, ahead=ahead) as found:
        return list(found)


def test_batches_depend_on_the_step_alone():
    for pool in (1, 4):
        whole = batches(stream(pool=pool), 0, 11, ahead=2)
        assert len(whole) == 11
        for first in (1, 4, 7):
            rest = batches(stream(pool=pool), first, 11, ahead=0)
            for a, b in zip(whole[first:], rest, strict=True):
                assert torch.equal(a.x0, b.x0) and torch.equal(a.x1, b.x1)


def test_every_row_is_used_once_an_epoch_with_its_condition():
    rows = torch.cat([pairs.x1 for pairs in batches(stream(), 0, 6, ahead=1)])
    labels = torch.cat([pairs.condition["condition"] for pairs in batches(stream(), 0, 6, ahead=1)])
    assert sorted(rows[:, 0].tolist()) == [2.0 * i for i in range(30)]
    assert torch.equal(rows[:, 0], 2.0 * labels)


def test_only_rowwise_couplings_are_drawn_in_bulk():
    assert stream().bulk(256) == 16
    assert stream().bulk(1 << 18) == 2
    assert replace(stream(), coupling=MinibatchOT()).bulk(256) == 1


def test_ranks_draw_different_rows():
    a, b = (batches(stream(rank=rank, ranks=2), 0, 3, ahead=0) for rank in (0, 1))
    rows = torch.cat([pairs.x1 for pairs in a + b])[:, 0]
    assert len(rows.unique()) == 30


def test_seeds_differ_and_source_and_target_are_unrelated():
    a, b = batches(stream(seed=0), 0, 1, ahead=0)[0], batches(stream(seed=1), 0, 1, ahead=0)[0]
    assert not torch.equal(a.x0, b.x0) and not torch.equal(a.x1, b.x1)


def test_gaussian_source_is_told_only_in_the_identity_frame():
    assert stream().probe(0).gaussian_source
    shifted = Frame((2,))
    shifted.scale.fill_(2.0)
    assert (
        not PairStream(Gaussian.standard(2), stream().target, Independent(), shifted, Frame((2,)))
        .probe(0)
        .gaussian_source
    )


@dataclass(frozen=True)
class Slow(Coupling):
    def __call__(self, x0, x1, condition=None, *, gaussian_source=False, generator=None):
        time.sleep(0.05)
        SEEN.append(threading.current_thread() is threading.main_thread())
        return Pairs(x0, x1, condition)


SEEN: list[bool] = []


def test_pools_are_solved_ahead_in_a_worker():
    SEEN.clear()
    slow = PairStream(Gaussian.standard(2), Gaussian.standard(2), Slow(), Frame((2,)), Frame((2,)), batch_size=2)
    with slow.prefetched(0, 100, ahead=2) as found:
        next(found)
        time.sleep(0.2)
        assert len(SEEN) == 3  # the first and two ahead, no more
        waited = time.perf_counter()
        next(found)
        assert time.perf_counter() - waited < 0.04
    assert not any(SEEN)
