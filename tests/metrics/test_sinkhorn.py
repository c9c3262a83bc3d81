"""The Sinkhorn divergence as a metric between samples."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics.sinkhorn import SinkhornDivergence
from pushforward.ot import solve
from pushforward.randomness import seeded


def normal(n, *event, key=0):
    return torch.randn(n, *event, dtype=torch.float64, generator=seeded("test", key))


def test_a_translation_has_the_squared_length():
    x = normal(60, 2, 2)
    assert SinkhornDivergence(3.0)(x, x + 0.5) == pytest.approx(4 * 0.25, abs=1e-6)


def test_zero_on_the_same_rows_and_near_the_exact_cost_at_small_epsilon():
    x, y = normal(40, 3), normal(30, 3, key=1) + 1
    assert 0 <= SinkhornDivergence(1.0)(x, x.flip(0)) < 1e-6
    assert SinkhornDivergence(1e-3)(x, y) == pytest.approx(float(solve(x, y).value), rel=1e-3)


def test_the_scale_is_that_of_the_reference():
    """In other units, the result is that of the first units, squared: the default epsilon goes with them."""
    x, y = normal(40, 3), normal(30, 3, key=1) + 1
    pairs = (y[:, None] - y).square().sum(-1).mean()
    metric = SinkhornDivergence()
    assert metric(x, y) == pytest.approx(SinkhornDivergence(float(pairs) / 20)(x, y), rel=1e-9)
    assert metric(10 * x, 10 * y) == pytest.approx(100 * metric(x, y), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_are_drawn_from_the_generator_given(dtype):
    x, y = normal(40, 3).to(dtype), normal(30, 3, key=1).to(dtype)
    metric = SinkhornDivergence(points=20)
    first, second = metric(x, y, generator=seeded(0)), metric(x, y, generator=seeded(0))
    assert isinstance(first, float) and first == second != metric(x, y, generator=seeded(1))


def test_impossible_options_and_input_are_refused():
    for options in ({"epsilon": 0.0}, {"points": 0}):
        with pytest.raises(InputError, match="must be"):
            SinkhornDivergence(**options)
    with pytest.raises(InputError, match="give epsilon"):
        SinkhornDivergence()(normal(5, 2), torch.ones(4, 2, dtype=torch.float64))
    with pytest.raises(InputError, match="both must agree"):
        SinkhornDivergence()(normal(5, 2), normal(5, 3))
