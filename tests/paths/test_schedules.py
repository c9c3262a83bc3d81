"""Every schedule: derivatives by autograd, Delta by its closed form, inverse signal-to-noise ratio, ends, bad input."""

import math

import pytest
import torch

from pushforward.citations import cite
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.paths import (
    VE,
    VP,
    Accelerating,
    Affine,
    Amplified,
    CondOT,
    KineticOptimal,
    LinearVE,
    LinearVP,
    Polynomial,
    Schedule,
    Tabulated,
    Trig,
)

SCHEDULES = [
    CondOT(),
    CondOT(0.1),
    Trig(),
    LinearVP(),
    Polynomial(),
    Polynomial(1.5),
    VP(),
    VP(0.5, 0.5),
    VE(),
    VE(0.1, 5.0),
    Amplified(2.0),
    Amplified(0.5, VP()),
    LinearVE(),
    Accelerating(),
    Accelerating(0.5),
]
MADE_FROM_DATA = {KineticOptimal, Tabulated}


def vp_delta(t, c):
    return c.alpha * (0.1 + 19.9 * (1 - t)) / 2 / c.sigma


DELTAS = [
    (CondOT(), lambda t, c: torch.ones_like(t)),
    (CondOT(0.2), lambda t, c: torch.ones_like(t)),
    (Trig(), lambda t, c: torch.full_like(t, math.pi / 2)),
    (LinearVP(), lambda t, c: 1 / (1 - t**2).sqrt()),
    (Accelerating(1.5), lambda t, c: 1.5 - t),
    (Polynomial(3), lambda t, c: 3 * t**2),
    (VP(), vp_delta),
    (VE(), lambda t, c: -c.d_sigma),
]


def times(schedule, n=201):
    low, high = schedule.interval
    return torch.linspace(max(low, 1e-3), min(high, 1 - 1e-3), n, dtype=torch.float64)


def test_the_list_is_complete():
    assert {type(s) for s in SCHEDULES} | MADE_FROM_DATA == set(Schedule.__subclasses__())


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_derivatives(schedule):
    t = times(schedule).requires_grad_()
    c = schedule(t)
    for value, derivative in ((c.alpha, c.d_alpha), (c.sigma, c.d_sigma)):
        expected = (
            torch.autograd.grad(value.sum(), t, allow_unused=True, retain_graph=True)[0]
            if value.requires_grad
            else None
        )
        expected = torch.zeros_like(t) if expected is None else expected
        torch.testing.assert_close(derivative, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("schedule", "delta"), DELTAS, ids=lambda v: repr(v) if isinstance(v, Schedule) else "")
def test_delta(schedule, delta):
    t = times(schedule)
    c = schedule(t)
    torch.testing.assert_close(c.delta, delta(t, c), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_snr_inverse(schedule):
    t = times(schedule)
    c = schedule(t)
    torch.testing.assert_close(schedule.snr_inverse(c.alpha / c.sigma), t, rtol=1e-8, atol=1e-8)
    ends = schedule.snr_inverse(torch.tensor([0.0, math.inf], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_ends_and_interval(schedule):
    one = schedule(torch.ones(1, dtype=torch.float64))
    assert one.alpha.item() == (schedule.factor if isinstance(schedule, Amplified) else 1)
    assert one.sigma.item() == pytest.approx(schedule.sigma_min if isinstance(schedule, CondOT) else 0)
    for dtype in (torch.float32, torch.float64):
        inside = schedule(torch.tensor(schedule.interval, dtype=dtype))
        assert all(c.isfinite().all() and c.dtype == dtype and c.shape == (2,) for c in inside)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_single_precision_is_accurate_near_the_data(schedule):
    t = torch.tensor([0.0, 0.3, 0.9, 0.999, 0.9999])
    for single, double in zip(schedule(t), schedule(t.double()), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_interpolate_is_the_general_formula(schedule):
    g = torch.Generator().manual_seed(0)
    x0, x1 = (torch.randn(201, 3, 2, generator=g, dtype=torch.float64) for _ in range(2))
    alpha, sigma, d_alpha, d_sigma = (c[:, None, None] for c in schedule(times(schedule)))
    x, v = schedule.interpolate(x0, x1, times(schedule))
    torch.testing.assert_close(x, alpha * x1 + sigma * x0)
    torch.testing.assert_close(v, d_alpha * x1 + d_sigma * x0)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_described_rebuilt_and_cited(schedule):
    assert build(describe(Affine(schedule))) == Affine(schedule)
    assert "@article{" in cite(Affine(schedule))


def test_amplified_data_come_out_as_they_went_in():
    path, x = Affine(Amplified(3.0, VP())), torch.randn(4, 2, dtype=torch.float64)
    torch.testing.assert_close(path.target_end.encode(x), 3 * x)
    torch.testing.assert_close(path.target_end.decode(path.target_end.encode(x)), x)
    assert type(Affine(VP()).target_end).__name__ == "End"  # alpha_1 = 1 needs nothing


def test_vp_does_not_start_at_pure_noise():
    assert float(VP()(torch.zeros(1, dtype=torch.float64)).alpha) == pytest.approx(math.exp(-5.025), rel=1e-12)


BAD = [
    lambda: Amplified(0.0),
    lambda: CondOT(1.0),
    lambda: CondOT(-0.1),
    lambda: Polynomial(0.5),
    lambda: VP(0.0),
    lambda: VP(2.0, 1.0),
    lambda: VE(0.0),
    lambda: VE(2.0, 1.0),
]


@pytest.mark.parametrize("make", BAD)
def test_bad_parameters_are_refused(make):
    with pytest.raises(InputError, match="needs"):
        make()
