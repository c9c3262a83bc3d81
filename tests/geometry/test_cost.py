"""Costs against their definitions, far from the origin too."""

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean

COSTS = [SquaredEuclidean(), PNorm(), PNorm(1), PNorm(float("inf"), 2), PNorm(3, 1.5), PNorm(2, 2)]


def definition(cost, x, y):
    if isinstance(cost, SquaredEuclidean):
        return ((x - y) ** 2).sum(-1)
    power = (x - y).abs()
    norm = power.amax(-1) if cost.p == float("inf") else (power**cost.p).sum(-1) ** (1 / cost.p)
    return norm**cost.power


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_pairwise_and_aligned_follow_the_definition(cost):
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(2, n, 3, generator=g, dtype=torch.float64) for n in (5, 4))
    expected = definition(cost, x[:, :, None], y[:, None])
    torch.testing.assert_close(cost.pairwise(x, y), expected)  # two clouds at once
    torch.testing.assert_close(cost.pairwise(x[0], y[0]), expected[0])
    torch.testing.assert_close(cost.aligned(x[:, :4], y), expected[:, range(4), range(4)])
    assert build(describe(cost)) == cost


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_gradient_is_that_of_the_definition(cost):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(4, 3, generator=g, dtype=torch.float64, requires_grad=True)
    y, w = torch.randn(5, 3, generator=g, dtype=torch.float64), torch.rand(4, 5, generator=g, dtype=torch.float64)
    (ours,) = torch.autograd.grad((w * cost.pairwise(x, y)).sum(), x)
    (theirs,) = torch.autograd.grad((w * definition(cost, x[:, None], y)).sum(), x)
    torch.testing.assert_close(ours, theirs)


def test_squared_distance_far_from_the_origin_in_float32():
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 1000
    exact = definition(SquaredEuclidean(), x.double()[:, None], x.double())
    squares = SquaredEuclidean().pairwise(x, x)
    assert squares.dtype == torch.float32 and squares.min() >= 0
    assert (squares - exact).abs().max() < 1e-4  # without centring: about 1


def test_unlike_inputs_are_refused():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match=r"\(2,\).*\(4,\)"):
        SquaredEuclidean().pairwise(x, torch.zeros(3, 4))
    with pytest.raises(InputError, match=r"float32.*float64"):
        PNorm().aligned(x, x.double())
    with pytest.raises(InputError, match="at least 1"):
        PNorm(0.5)
    with pytest.raises(InputError, match="power"):
        PNorm(2, 0)
