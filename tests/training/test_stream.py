import threading
import time
from dataclasses import dataclass, replace

import pytest
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


@pytest.mark.parametrize(("pool", "passes"), [(1, 1), (4, 1), (1, 2), (2, 3)])
def test_batches_depend_on_the_step_alone(pool: int, passes: int):
    whole = batches(stream(pool=pool, passes=passes), 0, 11, ahead=2)
    assert len(whole) == 11
    for first in (1, 4, 7):
        rest = batches(stream(pool=pool, passes=passes), first, 11, ahead=0)
        assert len(rest) == 11 - first
        for a, b in zip(whole[first:], rest, strict=True):
            assert torch.equal(a.x0, b.x0) and torch.equal(a.x1, b.x1)


def test_passes_use_every_pair_that_often_in_new_batches():
    dealt = batches(stream(pool=2, passes=3), 0, 18, ahead=1)  # one window: 3 pools of 2 batches, dealt 3 times
    passes = [torch.cat([torch.cat([pairs.x0, pairs.x1], 1) for pairs in dealt[i : i + 6]]) for i in (0, 6, 12)]
    once = torch.cat([torch.cat([p.x0, p.x1], 1) for p in batches(stream(pool=2), 0, 6, ahead=0)])
    for rows in passes:
        assert torch.equal(rows[rows[:, 0].argsort()], once[once[:, 0].argsort()])
        assert not torch.equal(rows, once)
    assert not torch.equal(passes[0], passes[1])
    labels = torch.cat([pairs.condition["condition"] for pairs in dealt])
    assert torch.equal(torch.cat(passes)[:, 2], 2.0 * labels)


def test_every_row_is_used_once_an_epoch_with_its_condition():
    rows = torch.cat([pairs.x1 for pairs in batches(stream(), 0, 6, ahead=1)])
    labels = torch.cat([pairs.condition["condition"] for pairs in batches(stream(), 0, 6, ahead=1)])
    assert sorted(rows[:, 0].tolist()) == [2.0 * i for i in range(30)]
    assert torch.equal(rows[:, 0], 2.0 * labels)


def test_pools_and_passes_suit_the_coupling():
    def chosen(pool: int | None = None, passes: int | None = None, **options) -> tuple[int, int]:
        arranged = replace(stream(), **options).arranged(pool, passes)
        return arranged.pool, arranged.passes

    assert chosen(batch_size=256) == (16, 1)
    assert chosen(batch_size=1 << 18) == (2, 1)
    assert chosen(batch_size=256, coupling=MinibatchOT()) == (4, 4)
    assert chosen(batch_size=32, coupling=MinibatchOT()) == (4, 4)
    assert chosen(batch_size=2048, coupling=MinibatchOT()) == (1, 4)
    assert chosen(batch_size=1 << 22, coupling=MinibatchOT()) == (1, 1)  # windows would be too large
    assert chosen(1, 1, batch_size=256, coupling=MinibatchOT()) == (1, 1)
    assert chosen(batch_size=256, coupling=Slow()) == (1, 1)


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
