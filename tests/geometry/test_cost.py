"""Costs against their definitions, far from the origin too."""

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.geometry import ConvexCost, PNorm, SquaredEuclidean

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


CONVEX = [SquaredEuclidean(), PNorm(2, 2), PNorm(2, 4), PNorm(3, 1.5), PNorm(1.5, 3)]


@pytest.mark.parametrize("cost", CONVEX, ids=str)
def test_conjugate_is_the_supremum_and_its_gradient_inverts_that_of_the_cost(cost):
    g = torch.Generator().manual_seed(2)
    z, p = (torch.randn(50, 3, generator=g, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.testing.assert_close(cost.gradient(z), torch.autograd.grad(cost.of(z).sum(), z)[0])
    torch.testing.assert_close(cost.conjugate_gradient(p), torch.autograd.grad(cost.conjugate(p).sum(), p)[0])
    torch.testing.assert_close(cost.conjugate_gradient(cost.gradient(z)), z)
    gap = cost.of(z)[:, None] + cost.conjugate(p) - z @ p.T  # Fenchel and Young
    assert (gap > 0).all()
    torch.testing.assert_close(cost.of(z) + cost.conjugate(cost.gradient(z)), (z * cost.gradient(z)).sum(1))
    zero = torch.zeros(1, 3, dtype=torch.float64)
    assert not cost.gradient(zero).any() and not cost.conjugate_gradient(zero).any()
    torch.testing.assert_close(cost.conjugate(p), ConvexCost.conjugate(cost, p))


class _Cosh(ConvexCost):
    """A cost of one's own."""

    def of(self, z):
        return (torch.cosh(z) - 1).sum(-1)

    def gradient(self, z):
        return torch.sinh(z)

    def conjugate_gradient(self, p):
        return torch.asinh(p)


def test_a_cost_of_ones_own_needs_three_methods():
    x, y = torch.randn(4, 2), torch.randn(5, 2)
    torch.testing.assert_close(_Cosh().pairwise(x, y)[1, 2], _Cosh().of(y[2] - x[1]))
    torch.testing.assert_close(_Cosh().aligned(x, y[:4]), _Cosh().of(y[:4] - x))
    assert (_Cosh().of(x)[:, None] + _Cosh().conjugate(y) >= x @ y.T).all()


@pytest.mark.parametrize("cost", [PNorm(), PNorm(1, 2), PNorm(float("inf"), 2)], ids=str)
def test_costs_that_are_not_strictly_convex_have_no_gradient(cost):
    with pytest.raises(InputError, match="not strictly convex"):
        cost.gradient(torch.ones(1, 2))
