"""Projection onto the simplex: optimality conditions, brute force over supports, POT, gradients."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.errors import InputError
from pushforward.geometry.simplex import project_simplex, simplex_threshold


def vector(n, seed, scale=1.0):
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.floats(0.01, 10), st.floats(0.1, 100), st.integers(0, 10**6))
def test_projection_meets_the_conditions_of_optimality(n, z, scale, seed):
    """`p = (v - tau)_+` with the sum z is the only point where no mass can move downhill."""
    v = vector(n, seed, scale)
    p = project_simplex(v, z)
    assert float(p.sum()) == pytest.approx(z, rel=1e-12) and (p >= 0).all()
    tau = (v - p)[p > 0]
    torch.testing.assert_close(tau, tau[:1].expand_as(tau))
    assert (v[p == 0] <= tau.min() + 1e-12 * scale).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_with_few_nonzeros_it_is_the_best_over_all_supports(n, k, seed):
    v = vector(n, seed)
    k = min(k, n)
    best = torch.inf
    for support in combinations(range(n), k):
        part = torch.zeros_like(v)
        part[list(support)] = project_simplex(v[list(support)])
        best = min(best, float((part - v).square().sum()))
    p = project_simplex(v, k=k)
    assert int((p > 0).sum()) <= k and float(p.sum()) == pytest.approx(1)
    assert float((p - v).square().sum()) == pytest.approx(best, rel=1e-10)


def test_any_dimension_and_a_size_for_each_problem():
    v, z = vector(60, 0).reshape(3, 4, 5), torch.tensor([[0.1, 1, 2, 3, 4]]).double().expand(3, 5)
    p = project_simplex(v, z, k=2, dim=1)
    torch.testing.assert_close(p.sum(1), z)
    for i in range(3):
        for j in range(5):
            torch.testing.assert_close(p[i, :, j], project_simplex(v[i, :, j], float(z[i, j]), k=2))


def test_ties_leave_exactly_k_and_a_point_of_the_simplex_is_left_alone():
    assert int((project_simplex(torch.ones(5), k=3) > 0).sum()) == 3
    p = torch.tensor([0.2, 0.0, 0.5, 0.3])
    torch.testing.assert_close(project_simplex(p), p)
    torch.testing.assert_close(project_simplex(p, k=9), p)


def test_threshold_is_what_the_projection_subtracts_and_skips_minus_infinity():
    v = vector(7, 3)
    padded = torch.cat([v, v.new_full((4,), -torch.inf)])
    for k in (None, 2):
        tau = simplex_threshold(padded, 0.3, k)
        torch.testing.assert_close(project_simplex(padded, 0.3, k)[:7].sum(), torch.tensor(0.3).double())
        largest = v if k is None else v.topk(k).values
        assert float((largest - tau).clamp(min=0).sum()) == pytest.approx(0.3, rel=1e-12)


def test_beside_a_huge_coordinate_the_size_is_lost_but_nothing_breaks():
    assert project_simplex(torch.tensor([1e20, 0.0])).isfinite().all()


@pytest.mark.parametrize("k", [None, 3])
def test_gradients(k):
    v = vector(6, 1).requires_grad_()
    z = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, z: project_simplex(v, z, k), (v, z))


@pytest.mark.parametrize("v, k", [(torch.ones(3), 0), (torch.ones(0), None)])
def test_bad_input(v, k):
    with pytest.raises(InputError, match="k >= 1 and at least one coordinate"):
        project_simplex(v, k=k)
