"""Affine paths and the Brownian bridge: points, conversions, refusals, and their marginals against closed forms."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture
from pushforward.paths import (
    VE,
    VP,
    Affine,
    BrownianBridge,
    BrownianGamma,
    CondOT,
    EncodingDecoding,
    Interpolant,
    LinearBlend,
    LinearVP,
    Mirror,
    Polynomial,
    QuadraticGamma,
    SigmoidGamma,
    SineGamma,
    Trig,
    TrigBlend,
)

DOUBLE = torch.float64
KINDS = ("velocity", "data", "noise", "score")
SCHEDULES = [CondOT(), CondOT(0.1), Trig(), LinearVP(), Polynomial(2), VP(), VE(0.1, 5.0)]
INTERPOLANTS = [
    BrownianBridge(0.7), Interpolant(TrigBlend(), BrownianGamma(0.9)), Interpolant(TrigBlend(), SineGamma(0.5)),
    Interpolant(EncodingDecoding(), SineGamma()), Interpolant(Mirror(), QuadraticGamma(2.0)),
    Interpolant(LinearBlend(), SigmoidGamma()),
]  # fmt: skip
PATHS = [*(Affine(s) for s in SCHEDULES), *INTERPOLANTS]


def at(t):
    return Times(t, t, torch.zeros_like(t))


def pairs(n=64, event=(3,), seed=0, **fields):
    g = torch.Generator().manual_seed(seed)
    x0, x1 = (torch.randn(n, *event, generator=g, dtype=DOUBLE) for _ in range(2))
    return Pairs(x0, x1, **fields), 0.1 + 0.8 * torch.rand(n, generator=g, dtype=DOUBLE)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_velocity_is_the_time_derivative_of_the_state(path):
    """The path's own noise is held by reusing the seed."""
    both, t = pairs(event=(2, 2))
    h = 1e-6
    ahead, behind = (path.point(both, at(t + d), generator=torch.Generator().manual_seed(1)).x for d in (h, -h))
    point = path.point(both, at(t), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(point.v, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-6)
    assert point.x.shape == (64, 2, 2)
    assert torch.equal(path.target(point, "data"), both.x1)
    assert torch.equal(path.target(point, "noise"), both.x0)
    assert torch.equal(path.target(point, "velocity"), point.v)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_state_is_taken_at_the_input_and_told_at_the_label(path):
    both, t = pairs()
    generator = torch.Generator().manual_seed(1)
    point = path.point(both, Times(t, 0.9 * t, torch.zeros_like(t)), generator=generator)
    expected = path.point(both, at(0.9 * t), generator=generator.manual_seed(1))
    assert torch.equal(point.x, expected.x) and torch.equal(point.t, t)
    if isinstance(path, Affine):  # the network is told the label, so the velocity is that of the label
        assert torch.equal(point.v, path.point(both, at(t)).v)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_known_entries_do_not_move(path):
    mask = torch.tensor([True, False, True])
    both, t = pairs(mask=mask)
    point = path.point(both, at(t), generator=torch.Generator().manual_seed(1))
    free = path.point(Pairs(both.x0, both.x1), at(t), generator=torch.Generator().manual_seed(1))
    assert torch.equal(point.x[:, 1], both.x1[:, 1]) and not point.v[:, 1].any()
    assert torch.equal(point.x[:, mask], free.x[:, mask]) and torch.equal(point.v[:, mask], free.v[:, mask])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_every_conversion(schedule):
    """For one pair all four predictions are known, so each of the sixteen conversions has a known answer."""
    path = Affine(schedule)
    both, t = pairs(event=(2, 2))
    point = path.point(both, at(t))
    known = {kind: path.target(point, kind, gaussian_source=True) for kind in KINDS}
    for src, dst in itertools.product(KINDS, KINDS):
        got = path.convert(known[src], point.x, t, src, dst, gaussian_source=True)
        torch.testing.assert_close(
            got, known[dst], rtol=1e-6, atol=1e-6, msg=lambda m, src=src, dst=dst: f"{src}->{dst}: {m}"
        )


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_conversions_of_conditional_means(schedule):
    """Against the oracle of a mixture: the score row, too, holds for marginals when the source is N(0, I)."""
    target = GaussianMixture(
        torch.tensor([[2.0, 0.0], [-1.0, 1.0]], dtype=DOUBLE), 0.2 * torch.eye(2, dtype=DOUBLE).expand(2, 2, 2)
    )
    oracle = AffineOracle(Gaussian(torch.zeros(2, dtype=DOUBLE)), target, schedule)
    _, t = pairs()
    x = oracle.sample(64, t, generator=torch.Generator().manual_seed(0))
    known = {kind: getattr(oracle, kind)(x, t) for kind in KINDS}
    for src, dst in itertools.product(KINDS, KINDS):
        got = Affine(schedule).convert(known[src], x, t, src, dst, gaussian_source=True)
        torch.testing.assert_close(
            got, known[dst], rtol=1e-6, atol=1e-6, msg=lambda m, src=src, dst=dst: f"{src}->{dst}: {m}"
        )


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(SCHEDULES),
    st.sampled_from(KINDS),
    st.sampled_from(KINDS),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_conversions_invert(schedule, src, dst, time, seed):
    """Any value at any state comes back: conversions are linear bijections, on and off the path."""
    path, g = Affine(schedule), torch.Generator().manual_seed(seed)
    value, x = (torch.randn(2, 3, generator=g, dtype=DOUBLE) for _ in range(2))
    t = torch.full((2,), time, dtype=DOUBLE)
    there = path.convert(value, x, t, src, dst, gaussian_source=True)
    torch.testing.assert_close(path.convert(there, x, t, dst, src, gaussian_source=True), value, rtol=1e-6, atol=1e-6)


def test_data_and_velocity_are_exact_at_both_ends_of_the_linear_path():
    path, x = Affine(), torch.randn(2, 3, dtype=DOUBLE)
    v, t = torch.randn(2, 3, dtype=DOUBLE), torch.tensor([0.0, 1.0], dtype=DOUBLE)
    torch.testing.assert_close(path.convert(v, x, t, "velocity", "data"), x + (1 - t)[:, None] * v)
    torch.testing.assert_close(path.convert(v, x, t, "velocity", "noise"), x - t[:, None] * v)


@pytest.mark.parametrize(("src", "dst"), [(a, b) for a, b in itertools.product(KINDS, KINDS) if "score" in (a, b)])
def test_scores_are_refused_without_a_gaussian_source(src, dst):
    both, t = pairs()
    with pytest.raises(InputError, match="gaussian_source=True"):
        Affine().convert(both.x0, both.x1, t, src, dst)
    with pytest.raises(InputError, match="gaussian_source=True"):
        Affine().target(Affine().point(both, at(t)), "score")


@pytest.mark.parametrize("path", [Affine(), BrownianBridge()], ids=repr)
def test_unknown_predictions_are_refused(path):
    both, t = pairs()
    with pytest.raises(InputError, match="did you mean 'velocity'"):
        path.convert(both.x0, both.x1, t, "velocty", "data")
    with pytest.raises(InputError, match="unknown prediction"):
        path.target(path.point(both, at(t)), "epsilon")


def test_start_scales_the_source_where_the_schedule_does():
    x0 = torch.ones(2, 3)
    assert torch.equal(Affine().source_end.encode(x0), x0)
    assert float(Affine(VE(0.1, 5.0)).source_end.encode(x0)[0, 0]) == pytest.approx(math.sqrt(25 - 0.01))


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_pieces_round_trip_and_keep_the_dtype(path):
    assert build(describe(path)) == path
    both, t = pairs()
    point = path.point(
        Pairs(both.x0.float(), both.x1.float()), at(t.float()), generator=torch.Generator().manual_seed(0)
    )
    assert point.x.dtype == point.v.dtype == torch.float32
    low, high = path.interval
    ends = torch.tensor([low, high], dtype=torch.float32)
    assert path.point(Pairs(both.x0[:2].float(), both.x1[:2].float()), at(ends)).v.isfinite().all()


def test_a_bridge_needs_noise_and_a_second_prediction():
    both, t = pairs()
    assert BrownianBridge().convert(both.x0, both.x1, t, "score", "score") is both.x0
    with pytest.raises(InputError, match=r"cannot turn velocity into score.*predicts='velocity,denoiser'"):
        BrownianBridge().convert(both.x0, both.x1, t, "velocity", "score", gaussian_source=True)
    with pytest.raises(InputError, match="without noise use Affine"):
        BrownianBridge(0.0)
    with pytest.raises(InputError, match="take it from"):
        BrownianBridge().target(Affine().point(both, at(t)), "score")


def test_bridge_drift_of_one_pair():
    """v + sigma^2 / 2 score is the drift (x1 - x) / (1 - t) that pins Brownian motion to x1."""
    path = BrownianBridge(0.7)
    both, t = pairs()
    point = path.point(both, at(t), generator=torch.Generator().manual_seed(0))
    drift = point.v + 0.5 * 0.7**2 * path.target(point, "score")
    torch.testing.assert_close(drift, (both.x1 - point.x) / (1 - t)[:, None], rtol=1e-9, atol=1e-9)


def schroedinger_pairs(n, sigma, generator):
    """The entropic plan between N(0, 1) and N(0, 1) in closed form: correlation sqrt(e^2 / 4 + 1) - e / 2 with e =
    sigma^2.
    """
    correlation = math.sqrt(sigma**4 / 4 + 1) - sigma**2 / 2
    x0, z = (torch.randn(n, 1, generator=generator, dtype=DOUBLE) for _ in range(2))
    return Pairs(x0, correlation * x0 + math.sqrt(1 - correlation**2) * z), correlation


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5])
def test_bridge_marginals_and_targets_of_the_gaussian_schroedinger_bridge(sigma):
    """Marginal variance, and the regressions of v and score on x, which are linear for a Gaussian pair."""
    n, g = 400_000, torch.Generator().manual_seed(0)
    both, c = schroedinger_pairs(n, sigma, g)
    path = BrownianBridge(sigma)
    for time in (0.25, 0.5, 0.75):
        point = path.point(both, at(torch.full((n,), time, dtype=DOUBLE)), generator=g)
        r = 1 - time
        variance = r**2 + time**2 + 2 * time * r * c + sigma**2 * time * r
        assert float(point.x.var()) == pytest.approx(variance, rel=0.01)
        growth = (2 * time - 2 * r + (2 * c + sigma**2) * (1 - 2 * time)) / (
            2 * variance
        )  # half the derivative of the log-variance
        for target, slope in ((point.v, growth), (path.target(point, "score"), -1 / variance)):
            error = (target - slope * point.x) * point.x
            assert abs(float(error.mean())) < 4.5 * float(error.std()) / math.sqrt(n)


def test_bridge_sde_keeps_its_marginals():
    """dX = (v + sigma^2 s / 2) dt + sigma dW from the exact linear fields: variance to 3 % on the way."""
    sigma, steps, n = 1.0, 400, 40_000
    c = math.sqrt(sigma**4 / 4 + 1) - sigma**2 / 2
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, generator=g, dtype=DOUBLE)
    for k in range(steps):
        t = k / steps
        r = 1 - t
        variance = r**2 + t**2 + 2 * t * r * c + sigma**2 * t * r
        growth = (2 * t - 2 * r + (2 * c + sigma**2) * (1 - 2 * t)) / (2 * variance)
        x = (
            x
            + (growth - 0.5 * sigma**2 / variance) * x / steps
            + sigma * math.sqrt(1 / steps) * torch.randn(n, generator=g, dtype=DOUBLE)
        )
        if k + 1 in (steps // 4, steps // 2, steps):
            t, r = (k + 1) / steps, 1 - (k + 1) / steps
            assert float(x.var()) == pytest.approx(r**2 + t**2 + 2 * t * r * c + sigma**2 * t * r, rel=0.03)
