"""Nearest noise: the drift of its source, and that it is the nearest of its candidates."""

import pytest
import torch

from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.couplings import Independent, MinibatchOT, NearestNoise
from pushforward.errors import InputError
from pushforward.geometry import PNorm


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("candidates, deviation", [(4, 0.947), (64, 0.902)])
def test_the_source_shrinks_as_fresh_candidates_make_it(candidates, deviation):
    """Measured with fresh noise for every row, unit Gaussian data in 64 dimensions."""
    x0, x1 = (torch.randn(4096, 64, generator=rng(s)) for s in (0, 1))
    pairs = NearestNoise(candidates)(x0, x1, generator=rng(2))
    assert float(pairs.x0.std()) == pytest.approx(deviation, abs=0.004)
    fresh = torch.randn(500, candidates, 64, generator=rng(3))
    nearest = fresh.gather(1, (fresh - x1[:500, None]).square().sum(2).argmin(1)[:, None, None].expand(-1, 1, 64))
    cost = (nearest[:, 0] - x1[:500]).square().sum(1).mean()
    assert float((pairs.x0 - x1).square().sum(1).mean()) == pytest.approx(float(cost), rel=0.02)


def test_the_nearest_of_all_where_every_row_is_a_candidate():
    x0, x1 = torch.tensor([[0.0], [10.0]]), torch.tensor([[9.0], [8.0]])
    assert NearestNoise(40)(x0, x1, generator=rng()).x0.flatten().tolist() == [10.0, 10.0]


def test_one_candidate_is_the_independent_coupling():
    x0, x1, label = torch.randn(20, 3), torch.randn(31, 3), {"label": torch.arange(31)}
    one, plain = (c(x0, x1, label, generator=rng()) for c in (NearestNoise(1), Independent()))
    assert torch.equal(one.x0, plain.x0) and torch.equal(one.x1, x1) and one.condition is label
    assert not NearestNoise(2)(x0, x1, gaussian_source=True).gaussian_source


def test_the_assignment_is_transport_by_the_euclidean_distance():
    x0, x1 = (torch.randn(40, 3, generator=rng(s)) for s in (0, 1))
    linear, square = (MinibatchOT(cost=c)(x0, x1).x0 for c in (PNorm(2), PNorm(2, power=2)))
    norm = lambda x: float((x - x1).norm(dim=1).sum())  # noqa: E731
    assert norm(linear) <= norm(square) and norm(linear) < norm(x0)
    assert torch.equal(linear.sort(0).values, x0.sort(0).values)  # the batch keeps its noise


def test_large_batches_take_memory_of_the_rows_only():
    x = torch.randn(60_000, 4, generator=rng())
    pairs = NearestNoise(8)(x, x.flip(0), generator=rng())  # all pairs would be 14 GB
    assert len(pairs) == 60_000


def test_description_and_options():
    assert build(describe(NearestNoise(7))) == NearestNoise(7) and "immiscible" in cite(NearestNoise()).lower()
    with pytest.raises(InputError, match="at least one candidate"):
        NearestNoise(0)
