"""Time laws: densities, draws, and the reproducibility of both."""

from __future__ import annotations

import math

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.objectives import (
    EDM,
    Beta,
    CosMap,
    Discrete,
    Draws,
    Fixed,
    Interval,
    LogitNormal,
    Mode,
    Shift,
    Slowed,
    TimeLaw,
    Uniform,
    UShaped,
)
from pushforward.paths import CondOT, Trig

CONTINUOUS = [
    Uniform(),
    Uniform(stratified=False),
    LogitNormal(-0.4, 1.3),
    Mode(1.29),
    Mode(1.75),
    Mode(-0.5),
    CosMap(),
    Beta(2.0, 1.0),
    Beta(1.0, 3.0),
    Beta(2.5, 1.5),
    EDM(),
    EDM(0.5, 0.8, Trig()),
    Shift(Uniform(), 3.0),
    Shift(LogitNormal(), 0.5),
    Interval(Uniform(), 0.25, 0.5),
    Interval(Beta(2.0, 2.0), 0.1, 0.9),
    UShaped(4.0),
    UShaped(0.5),
    Slowed(),
]
LAWS = [*CONTINUOUS, Discrete(5), Slowed(Interval(Discrete(4), 0.5, 1.0), 0.2)]


def draw(law: TimeLaw, n: int, seed: int = 0):
    return law.sample(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("law", CONTINUOUS, ids=repr)
def test_density_integrates_to_one_and_matches_the_draws(law):
    cells = 50_000
    middles = (torch.arange(cells).double() + 0.5) / cells
    cumulative = law.log_prob(middles).exp().cumsum(0) / cells
    assert abs(cumulative[-1].item() - 1) < 2e-3
    label = draw(law, 20_000).label.sort().values
    expected = cumulative[(label * cells).long().clamp(max=cells - 1)]
    # Kolmogorov's distance; independent draws exceed 0.0138 once in a thousand times
    assert (expected - (torch.arange(20_000).double() + 0.5) / 20_000).abs().max() < 0.0138


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_contract(law):
    times = draw(law, 64)
    assert times.label.shape == times.input.shape == times.log_prob.shape == (64,)
    assert times.label.dtype == times.input.dtype == times.log_prob.dtype == torch.float64
    assert times.label.min() >= 0 and times.label.max() <= 1
    torch.testing.assert_close(times.log_prob, law.log_prob(times.label), rtol=1e-6, atol=1e-6)
    assert torch.equal(draw(law, 64).input, times.input)
    assert not torch.equal(draw(law, 64, seed=1).label, times.label) or isinstance(law, Discrete)
    for dtype in (torch.float32, torch.bfloat16):
        low = law.sample(8, dtype=dtype)
        assert low.label.dtype == dtype and torch.isfinite(low.label).all()
    assert law.sample(8).label.dtype == torch.get_default_dtype()
    assert build(describe(law)) == law


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_generator_alone_decides(law):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draw(law, 16)
    assert torch.equal(before, torch.get_rng_state())


def test_stratified_draws_fill_every_cell():
    u = Draws(64, torch.Generator().manual_seed(0), dtype=torch.float64).stratified()
    assert torch.equal((u * 64).floor().sort().values, torch.arange(64).double())
    assert (u.diff() < 0).any()


def test_stratified_draws_are_uniform_in_every_entry():
    generator = torch.Generator().manual_seed(0)
    first = torch.stack([Draws(8, generator).stratified()[0] for _ in range(2000)])
    assert abs(first.mean() - 0.5) < 4 * math.sqrt(1 / 12 / 2000)
    assert abs(first.var() - 1 / 12) < 0.006


def test_beta_two_one_is_the_root_of_a_uniform():
    u = Draws(32, torch.Generator().manual_seed(0), dtype=torch.float64).stratified()
    torch.testing.assert_close(draw(Beta(2.0, 1.0), 32).label, u.sqrt())


def test_edm_under_the_linear_schedule_is_logit_normal():
    t = torch.linspace(0.01, 0.99, 30).double()
    torch.testing.assert_close(EDM(-1.2, 1.2, CondOT()).log_prob(t), LogitNormal(1.2, 1.2).log_prob(t))


def test_shift_is_a_change_of_variables():
    """Shifting by s and then by 1/s is nothing, and s > 1 moves towards the source."""
    t = torch.linspace(0.01, 0.99, 30).double()
    law = LogitNormal(0.3, 0.7)
    torch.testing.assert_close(Shift(Shift(law, 3.0), 1 / 3).log_prob(t), law.log_prob(t))
    assert draw(Shift(Uniform(), 3.0), 100).label.mean() < 0.4


def test_slowed_times_lag_behind_their_labels():
    times = draw(Slowed(Uniform(), 0.4), 20_000)
    ratio = times.input / times.label
    assert ratio.min() >= 0.6 and ratio.max() <= 1 and abs(ratio.mean() - 0.8) < 0.005
    moved = draw(Shift(Slowed(Uniform(), 0.4), 2.0), 100)
    assert (moved.input <= moved.label).all()


def test_discrete_times_are_equally_often():
    assert draw(Fixed(1.0), 3).label.tolist() == [1, 1, 1] and Fixed().log_prob(torch.zeros(2)).tolist() == [0, 0]
    label = draw(Discrete(5), 1000).label
    values, counts = label.unique(return_counts=True)
    torch.testing.assert_close(values, torch.arange(5).double() / 5)
    assert counts.tolist() == [200] * 5


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LogitNormal(0.0, 0.0),
        lambda: Mode(1.8),
        lambda: Beta(0.0, 1.0),
        lambda: EDM(std=-1.0),
        lambda: Shift(Uniform(), 0.0),
        lambda: Interval(Uniform(), 0.5, 0.5),
        lambda: Discrete(0),
        lambda: Slowed(Uniform(), 1.5),
    ],
)
def test_impossible_laws_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()
