"""Stochastic interpolants: the noise's functions, and every conversion against the closed form between Gaussians."""

import pytest
import torch

from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import Gaussian, InterpolantOracle
from pushforward.paths import (
    Affine,
    BrownianBridge,
    BrownianGamma,
    EncodingDecoding,
    Interpolant,
    LinearBlend,
    Mirror,
    QuadraticGamma,
    SigmoidGamma,
    SineGamma,
    TrigBlend,
)

SOURCE = Gaussian(torch.tensor([-1.0, 0.5]).double(), torch.tensor([[0.5, -0.2], [-0.2, 0.8]]).double())
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
GAMMAS = [BrownianGamma(0.7), QuadraticGamma(), SineGamma(0.6), SigmoidGamma(1.2, 8.0)]
BOTH = [LinearBlend(), TrigBlend()]
ONE = [EncodingDecoding(), Mirror()]
KINDS = ("velocity", "drift", "denoiser", "score", "data", "noise")


@pytest.mark.parametrize("gamma", GAMMAS, ids=repr)
def test_gamma_vanishes_at_the_ends_and_its_product_is_half_the_slope_of_its_square(gamma):
    ends = gamma(torch.tensor([0.0, 1.0]).double())
    assert ends.gamma.abs().max() < 1e-12 and ends.product.isfinite().all()
    t = torch.linspace(0.01, 0.99, 50).double().requires_grad_()
    spread = gamma(t)
    assert (spread.gamma > 0).all()
    (slope,) = torch.autograd.grad(spread.gamma.sum(), t, retain_graph=True)
    (half,) = torch.autograd.grad(spread.gamma.square().sum() / 2, t)
    torch.testing.assert_close(spread.d_gamma, slope)
    torch.testing.assert_close(spread.product, half)


@pytest.mark.parametrize("blend", [*BOTH, *ONE], ids=repr)
def test_the_state_begins_and_ends_at_the_pair(blend):
    pairs = Pairs(torch.randn(2, 3).double(), torch.randn(2, 3).double())
    ends = torch.tensor([0.0, 1.0]).double()
    x = Interpolant(blend, QuadraticGamma()).point(pairs, Times(ends, ends, ends)).x
    first = pairs.x1 if isinstance(blend, Mirror) else pairs.x0
    torch.testing.assert_close(x, torch.stack([first[0], pairs.x1[1]]))


def test_trigonometric_weights_keep_the_variance():
    t = torch.linspace(0.01, 0.99, 20)
    weights, spread = Interpolant(TrigBlend(), SineGamma(0.8)).coefficients(t)
    total = weights.alpha.square() + weights.sigma.square() + spread.gamma.square()
    torch.testing.assert_close(total, torch.ones(20))
    with pytest.raises(InputError, match="gamma < 1"):
        Interpolant(TrigBlend(), SineGamma())


@pytest.mark.parametrize("gamma", GAMMAS, ids=repr)
@pytest.mark.parametrize("blend", BOTH, ids=repr)
def test_two_predictions_give_every_other(blend, gamma):
    path = Interpolant(blend, gamma)
    oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients, 0.2 * torch.eye(2))
    t = torch.linspace(0.05, 0.95, 40).double()
    x = torch.cat([oracle.sample(1, float(time)) for time in t])
    truth = {kind: getattr(oracle, kind)(x, t) for kind in KINDS}
    for own in ("velocity", "drift"):
        for helper in ("denoiser", "score"):
            known = {own: truth[own], helper: truth[helper]}
            for kind in set(KINDS) - known.keys():
                found = path.derive(known, x, t, kind, gaussian_source=False)
                torch.testing.assert_close(found, truth[kind], rtol=1e-7, atol=1e-7)
    assert torch.equal(path.convert(truth["score"], x, t, "score", "score"), truth["score"])
    torch.testing.assert_close(path.convert(truth["score"], x, t, "score", "denoiser"), truth["denoiser"])


@pytest.mark.parametrize("blend", ONE, ids=repr)
def test_one_end_at_a_time_needs_one_prediction(blend):
    path = Interpolant(blend, SineGamma())
    oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients)
    t = torch.cat([torch.linspace(0.05, 0.45, 20), torch.linspace(0.55, 0.95, 20)]).double()
    x = torch.cat([oracle.sample(1, float(time)) for time in t])
    for src in ("velocity", "denoiser", "score"):
        for dst in ("velocity", "denoiser", "score"):
            found = path.convert(getattr(oracle, src)(x, t), x, t, src, dst)
            torch.testing.assert_close(found, getattr(oracle, dst)(x, t), rtol=1e-7, atol=1e-7)


def test_velocity_from_drift_and_score_is_finite_at_the_ends():
    path = BrownianBridge(0.5)
    oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients)
    x, t = SOURCE.sample(2), torch.tensor([0.0, 1.0]).double()
    known = {"drift": oracle.drift(x, t), "score": oracle.score(x, t)}
    found = path.derive(known, x, t, "velocity", gaussian_source=False)
    torch.testing.assert_close(found, oracle.velocity(x, t))


def test_the_brownian_bridge_is_an_interpolant():
    pairs = Pairs(torch.randn(8, 2).double(), torch.randn(8, 2).double())
    t = torch.rand(8).double()
    same = (BrownianBridge(0.6), Interpolant(LinearBlend(), BrownianGamma(0.6)))
    one, other = (p.point(pairs, Times(t, t, t), generator=torch.Generator().manual_seed(0)) for p in same)
    assert torch.equal(one.x, other.x) and torch.equal(one.v, other.v) and torch.equal(one.z, other.z)


@pytest.mark.parametrize("path", [Interpolant(TrigBlend()), BrownianBridge(2.0)], ids=repr)
def test_reflection_negates_the_noise(path):
    mask = torch.tensor([True, False])
    pairs = Pairs(torch.randn(8, 2).double(), torch.randn(8, 2).double(), mask=mask.expand(8, 2))
    t = torch.rand(8).double()
    times = Times(t, t, t)
    point = path.point(pairs, times)
    partner = path.reflected(point, pairs, times)
    assert torch.equal(partner.z, -point.z)
    still = path.blend.interpolate(pairs.x0, pairs.x1, t, path.gamma(t))
    for pair, middle in zip(((point.x, partner.x), (point.v, partner.v)), still, strict=True):
        torch.testing.assert_close(((pair[0] + pair[1]) / 2)[:, 0], middle[:, 0])
    assert torch.equal(partner.x[:, 1], pairs.x1[:, 1])
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        Affine().reflected(point, pairs, times)
