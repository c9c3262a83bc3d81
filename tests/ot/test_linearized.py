"""Linearized transport: bounds, exact cases, reading back, references."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.errors import InputError
from pushforward.ot import solve
from pushforward.ot.barycenter import bures_barycenter
from pushforward.ot.linearized import LinearizedOT, pooled_reference


def cloud(n, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 3))
def test_distance_is_never_below_w2_and_equal_on_the_line(seed, d):
    """For clouds of as many points as the reference the plans are maps; on the line all maps are monotone."""
    x, y = cloud(30, d, seed), 2 * cloud(30, d, seed + 1) + 1
    embedded = LinearizedOT(cloud(30, d, seed + 2)).embed([x, y])
    squared, exact = (embedded[0] - embedded[1]).square().sum(), solve(x, y).value
    assert squared >= exact * (1 - 1e-9)
    if d == 1:
        torch.testing.assert_close(squared, exact)


@pytest.mark.parametrize("size", [25, 40, 60])
def test_shifts_and_scalings_are_straight_whatever_the_sizes(size):
    x = cloud(40)
    lot = LinearizedOT(cloud(size, seed=1))
    embedded = lot.embed([x, x + torch.tensor([3.0, 4.0]), 2 * x.flip(0) + 1])
    assert float(lot.distance(embedded[0], embedded[1])) == pytest.approx(5, rel=1e-9)
    if size == 40:  # the plan is a map, so that nothing is averaged
        torch.testing.assert_close(lot.distance(embedded[0], embedded[2]).square(), solve(x, 2 * x + 1).value)


def test_clouds_are_read_back():
    x, y = cloud(30), cloud(30, seed=1) + 2
    weights = torch.rand(30, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    lot = LinearizedOT(cloud(30, seed=3))
    embedded = lot.embed([x, y])
    torch.testing.assert_close(lot.cloud(embedded)[0].sort(0).values, x.sort(0).values)
    torch.testing.assert_close(lot.geodesic(*embedded, 0.0), lot.cloud(embedded[0]))
    middle = lot.geodesic(*embedded, 0.5)
    torch.testing.assert_close(middle, lot.barycenter(embedded))
    torch.testing.assert_close(lot.barycenter(embedded, [1.0, 0.0]), lot.cloud(embedded[0]))
    weighted = LinearizedOT(cloud(30, seed=3), weights / weights.sum())
    means = (weighted.weights[:, None] * weighted.cloud(weighted.embed([x]))[0]).sum(0)
    torch.testing.assert_close(means, x.mean(0))


def test_weighted_clouds_and_entropic_plans():
    x = cloud(20)
    masses = torch.rand(20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    masses = masses / masses.sum()
    lot = LinearizedOT(cloud(15, seed=2))
    points = lot.cloud(lot.embed([x], [masses]))[0]
    torch.testing.assert_close(points.mean(0), masses @ x)
    blurred = LinearizedOT(cloud(15, seed=2), epsilon=1.0)
    assert blurred.cloud(blurred.embed([x], [masses]))[0].var(0).sum() < points.var(0).sum()


def test_barycentre_of_gaussian_clouds_is_near_the_bures_barycentre():
    turns = [torch.linalg.qr(cloud(2, seed=k)).Q for k in range(3)]
    scales = [(1.0, 0.4), (0.8, 0.66), (1.5, 0.5)]
    A = torch.stack([Q @ torch.diag(torch.tensor(s).double() ** 2) @ Q.T for Q, s in zip(turns, scales, strict=True)])
    clouds = [cloud(400, seed=10 + k) @ torch.linalg.cholesky(A[k]).T for k in range(3)]
    lot = LinearizedOT(cloud(400, seed=20))
    found, exact = lot.barycenter(lot.embed(clouds)).T.cov(), bures_barycenter(A)
    assert (found - exact).norm() < 0.1 * exact.norm()


def test_pooled_reference_spreads_and_repeats():
    clouds = [cloud(1000) + 5, cloud(50, seed=1) - 5]
    points = [pooled_reference(clouds, 40, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    assert torch.equal(*points) and 10 <= int((points[0][:, 0] > 0).sum()) <= 30  # clouds count alike, not points
    pool = torch.cat(clouds)
    assert all((pool == point).all(1).any() for point in points[0])
    means = pooled_reference(clouds, 40, rounds=10, generator=torch.Generator().manual_seed(0))
    errors = [torch.cdist(pool, x).amin(1).square().mean() for x in (points[0], means)]
    assert means.shape == (40, 2) and errors[1] < 0.8 * errors[0]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: LinearizedOT(torch.zeros(3)), r"floating points \(m, d\)"),
        (lambda: LinearizedOT(torch.zeros(3, 2), torch.zeros(3)), "3 positive numbers"),
        (lambda: LinearizedOT(torch.zeros(3, 2)).cloud(torch.zeros(5)), "both must agree"),
        (lambda: LinearizedOT(torch.zeros(3, 2)).embed([torch.zeros(4, 3)]), "both must agree"),
        (lambda: pooled_reference([torch.zeros(3, 2)], 4), "size must lie between 1 and 3"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
