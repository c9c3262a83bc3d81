"""Distances between samples against their closed forms, and their invariants."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.errors import InputError
from pushforward.metrics import (
    MMD2,
    ClassifierTwoSample,
    EnergyDistance,
    SinkhornDivergence,
    SlicedWasserstein2,
    Wasserstein2,
    classifier_two_sample,
    energy_distance,
    median_bandwidth,
    mmd2,
    sliced_wasserstein2,
    wasserstein2,
)
from pushforward.randomness import seeded

F64 = torch.float64
PIECES = [
    Wasserstein2(),
    SlicedWasserstein2(50),
    EnergyDistance(),
    MMD2(),
    MMD2(1.5, "unbiased"),
    ClassifierTwoSample(steps=5),
    SinkhornDivergence(),
]
BIASED = [Wasserstein2(), SlicedWasserstein2(50), EnergyDistance(), MMD2(1.0)]


def normal(n, *event, key=0):
    return torch.randn(n, *event, dtype=F64, generator=seeded("test", key))


def briefly(x, y):
    return classifier_two_sample(x, y, steps=3)


samples = st.builds(lambda n, key: normal(n, 3, key=key), st.integers(1, 30), st.integers(0, 10_000))


@pytest.mark.parametrize("metric", PIECES, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_contract(metric, dtype):
    x, y = normal(40, 2, 3).to(dtype), normal(30, 2, 3, key=1).to(dtype)
    state = torch.random.get_rng_state()
    first, second = metric(x, y, generator=seeded(0)), metric(x, y, generator=seeded(0))
    assert isinstance(first, float) and math.isfinite(first) and first == second
    assert metric.name
    assert torch.equal(state, torch.random.get_rng_state())  # nothing is drawn from the global generator


@pytest.mark.parametrize("function", [wasserstein2, sliced_wasserstein2, energy_distance, mmd2, briefly])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_functions_keep_the_dtype(function, dtype):
    value = function(normal(20, 2).to(dtype), normal(20, 2, key=1).to(dtype))
    assert value.shape == () and value.dtype == dtype


@pytest.mark.parametrize("metric", PIECES, ids=lambda m: type(m).__name__)
def test_bad_input_is_named(metric):
    x = normal(8, 2)
    for bad, message in [
        (normal(8, 3), "both must agree"), (x.float(), "convert"), (x[:0], "at least one row"),
        (x.clone().index_fill_(0, torch.tensor([3]), torch.nan), "first at row 3"),
        (torch.ones(8, 2, dtype=torch.int), "floating"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=message):
            metric(x, bad)


@pytest.mark.parametrize("make", [
    lambda: SlicedWasserstein2(0)(normal(3, 2), normal(3, 2)), lambda: Wasserstein2(0),
    lambda: MMD2(-1.0)(normal(3, 2), normal(3, 2)),
    lambda: EnergyDistance("unbiased")(normal(1, 2), normal(3, 2)),
    lambda: ClassifierTwoSample()(normal(3, 2), normal(9, 2)),
])  # fmt: skip
def test_impossible_options_are_refused(make):
    with pytest.raises(InputError):
        make()


@settings(max_examples=25, deadline=None)
@given(samples, samples)
@pytest.mark.parametrize("metric", BIASED, ids=lambda m: type(m).__name__)
def test_symmetric_non_negative_and_zero_on_equal_measures(metric, x, y):
    xy, yx = metric(x, y, generator=seeded(0)), metric(y, x, generator=seeded(0))
    assert xy == pytest.approx(yx, abs=1e-12) and xy >= 0
    twice = torch.cat([x, x])[torch.randperm(2 * len(x), generator=seeded(1))]  # the same measure, written otherwise
    assert metric(x, twice, generator=seeded(0)) == pytest.approx(0, abs=2e-7)


@settings(max_examples=25, deadline=None)
@given(samples, samples, samples)
@pytest.mark.parametrize("metric", BIASED, ids=lambda m: type(m).__name__)
def test_triangle_inequality(metric, x, y, z):
    power = 0.5 if isinstance(metric, EnergyDistance | MMD2) else 1.0  # those two are squares of metrics
    d = lambda a, b: max(metric(a, b, generator=seeded(0)), 0.0) ** power  # noqa: E731
    assert d(x, z) <= d(x, y) + d(y, z) + 1e-6


def test_translation():
    x, shift = normal(50, 3), torch.tensor([1.0, -2.0, 2.0], dtype=F64)
    assert wasserstein2(x, x + shift).item() == pytest.approx(3.0, abs=1e-12)
    sliced = sliced_wasserstein2(x, x + shift, 10_000, generator=seeded(0))
    assert sliced.item() == pytest.approx(3 / math.sqrt(3), rel=0.02)
    y = normal(40, 3, key=1)
    for distance in (
        wasserstein2,
        energy_distance,
        lambda a, b: mmd2(a, b, bandwidth=1.0),
    ):  # moving both changes nothing
        assert distance(x + shift, y + shift).item() == pytest.approx(distance(x, y).item(), rel=1e-9)


def test_scaling_along_slices():
    x = normal(500, 4)
    expected = 0.5 * x.square().sum(1).mean().div(4).sqrt()  # sorted order is kept, so the cost is 0.5^2 E<x, theta>^2
    assert sliced_wasserstein2(x, 1.5 * x, 8_000, generator=seeded(0)).item() == pytest.approx(
        expected.item(), rel=0.01
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20))
def test_one_dimension_is_exact_for_unequal_sizes(n, m):
    x, y = normal(n, 1), normal(m, 1, key=1)
    repeated = (
        (x.sort(0).values.repeat_interleave(m, 0) - y.sort(0).values.repeat_interleave(n, 0)).square().mean().sqrt()
    )
    assert sliced_wasserstein2(x, y, 3).item() == pytest.approx(repeated.item(), abs=1e-12)
    assert wasserstein2(x, y).item() == pytest.approx(repeated.item(), abs=1e-9)


def test_wasserstein2_of_gaussians():
    n = 4000
    levels = (torch.arange(n, dtype=F64) + 0.5) / n
    quantiles = (math.sqrt(2) * torch.erfinv(2 * levels - 1))[:, None]  # a noiseless sample of N(0, 1)
    w2 = sliced_wasserstein2(quantiles, 1.0 + 3.0 * quantiles, 1).item()
    assert w2 == pytest.approx(math.sqrt(1 + 4), rel=1e-3)  # (m0 - m1)^2 + (s0 - s1)^2


def test_energy_distance_in_one_dimension_is_the_gap_of_distribution_functions():
    x, y = normal(30, 1), 2 * normal(20, 1, key=1)
    grid = torch.cat([x, y]).sort(0).values.flatten()
    gap = [((x <= t).double().mean() - (y <= t).double().mean()) ** 2 for t in grid[:-1]]
    assert energy_distance(x, y).item() == pytest.approx(2 * (torch.stack(gap) @ grid.diff()).item(), rel=1e-9)


def test_energy_distance_of_gaussians():
    x, y = normal(6000, 1), 1.5 + normal(6000, 1, key=1)
    between = 2 / math.sqrt(math.pi) * math.exp(-(1.5**2) / 4) + 1.5 * math.erf(0.75)
    expected = 2 * between - 4 / math.sqrt(math.pi)
    assert energy_distance(x, y, estimator="unbiased").item() == pytest.approx(expected, rel=0.05)


def gaussian_kernel_mean(gap2, variance, h, d):
    return (h**2 / (h**2 + variance)) ** (d / 2) * math.exp(-gap2 / (2 * (h**2 + variance)))


def test_mmd2_of_gaussians():
    d, h, s = 3, 1.7, 1.5
    x, y = normal(3000, d), 0.5 + s * normal(3000, d, key=1)
    expected = (
        gaussian_kernel_mean(0, 2, h, d) + gaussian_kernel_mean(0, 2 * s**2, h, d)
        - 2 * gaussian_kernel_mean(d * 0.25, 1 + s**2, h, d)
    )  # fmt: skip
    assert mmd2(x, y, bandwidth=h).item() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize(
    "distance", [energy_distance, lambda x, y, estimator: mmd2(x, y, bandwidth=1.0, estimator=estimator)]
)
def test_only_the_unbiased_estimator_is_zero_on_average(distance):
    pairs = normal(800, 2, 6, 2)
    for estimator, low, high in (("unbiased", -4, 4), ("biased", 20, math.inf)):
        values = torch.stack([distance(x, y, estimator=estimator) for x, y in pairs])
        z = (values.mean() / (values.std() / math.sqrt(len(values)))).item()
        assert low < z < high


def test_chunks_change_nothing(monkeypatch):
    x, y = normal(50, 3), normal(70, 3, key=1)
    whole = energy_distance(x, y), mmd2(x, y)
    monkeypatch.setattr("pushforward.metrics._pairs.CHUNK", 100)
    monkeypatch.setattr("pushforward.metrics._pairs.EXACT_WORK", 0)  # and nor does the matrix product
    torch.testing.assert_close((energy_distance(x, y), mmd2(x, y)), whole, rtol=1e-7, atol=0)


def test_median_bandwidth():
    assert median_bandwidth(torch.tensor([[0.0], [1.0], [3.0]])) == 2.0
    assert median_bandwidth(torch.zeros(5, 2)) == 1.0  # no scale at all
    assert median_bandwidth(normal(5000, 1)).item() == pytest.approx(0.954, rel=0.1)  # median of |N(0, 2)|


@pytest.mark.parametrize("statistic", ["accuracy", "auc"])
def test_classifier(statistic):
    x = normal(600, 2)
    score = lambda y: classifier_two_sample(x, y, statistic=statistic, steps=100, generator=seeded(0)).item()  # noqa: E731
    assert score(normal(600, 2, key=1)) == pytest.approx(0.5, abs=0.07)
    assert score(10 + normal(600, 2, key=1)) == 1.0
    # The best any classifier can do between N(0, 1) and N(1, 1): accuracy Phi(1/2), area under the curve Phi(1/sqrt 2).
    best = {"accuracy": 0.6915, "auc": 0.7602}[statistic]
    assert score(normal(300, 2, key=1) + torch.tensor([1.0, 0.0], dtype=F64)) == pytest.approx(best, abs=0.05)


def test_classifier_sees_what_the_mean_does_not():
    x, y = normal(600, 2), normal(600, 2, key=1)
    ring = 1.5 * y / y.norm(dim=1, keepdim=True)
    assert classifier_two_sample(x, ring, steps=150, generator=seeded(0)) > 0.8
