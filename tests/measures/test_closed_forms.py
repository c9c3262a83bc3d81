"""Gaussian, mixture, Student t: densities against scipy, scores by autograd, samples against moments, bad input."""

import math

import pytest
import torch
from scipy import stats

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.measures import Gaussian, GaussianMixture, StudentT

COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
MEAN = torch.tensor([1.0, -2.0], dtype=torch.float64)


def gaussian():
    return Gaussian(MEAN, COVARIANCE)


def mixture():
    means = torch.stack([MEAN, -MEAN, torch.zeros_like(MEAN)])
    covariances = torch.stack([COVARIANCE, torch.eye(2).double(), 0.2 * COVARIANCE.flip(0, 1)])
    return GaussianMixture(means, covariances, torch.tensor([1.0, 2.0, 5.0]))


def student_t():
    return StudentT(MEAN, COVARIANCE, degrees=5.5)


def image():
    return Gaussian(torch.full((1, 2, 2), 0.5, dtype=torch.float64))


ALL = [gaussian, mixture, student_t, image]


def points(measure, n=200):
    return 2 * torch.randn(n, *measure.event_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_log_prob_agrees_with_scipy():
    x = points(gaussian())
    expected = stats.multivariate_normal(MEAN, COVARIANCE).logpdf(x)
    torch.testing.assert_close(gaussian().log_prob(x), torch.tensor(expected), rtol=1e-10, atol=1e-10)
    expected = stats.multivariate_t(MEAN, COVARIANCE, df=5.5).logpdf(x)
    torch.testing.assert_close(student_t().log_prob(x), torch.tensor(expected), rtol=1e-10, atol=1e-10)
    m = mixture()
    parts = [
        w * torch.tensor(stats.multivariate_normal(c, s).pdf(x))
        for w, c, s in zip(m.weights, m.means, m.covariances, strict=True)
    ]
    torch.testing.assert_close(m.log_prob(x).exp(), sum(parts), rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(
        m.responsibilities(x), torch.stack(parts, 1) / sum(parts)[:, None], rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize("make", ALL)
def test_score_is_the_gradient_of_log_prob(make):
    measure = make()
    x = points(measure).requires_grad_()
    (gradient,) = torch.autograd.grad(measure.log_prob(x).sum(), x)
    torch.testing.assert_close(measure.score(x), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", ALL)
def test_samples_have_the_stated_moments(make):
    measure, n = make(), 200_000
    x = measure.sample(n, generator=torch.Generator().manual_seed(1)).flatten(1)
    deviation = measure.covariance.diagonal().sqrt()
    assert ((x.mean(0) - measure.mean.flatten()) / deviation).abs().max() < 5 / math.sqrt(n)
    torch.testing.assert_close(x.T.cov(), measure.covariance, rtol=0.05, atol=0.03)


@pytest.mark.parametrize("make", ALL)
def test_contract(make):
    measure = make()
    draw = [measure.sample(5, generator=torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draw)
    assert draw[0].shape == (5, *measure.event_shape)
    again = build(describe(measure))
    torch.testing.assert_close(again.log_prob(draw[0]), measure.log_prob(draw[0]))
    single = measure.log_prob(draw[0].float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), measure.log_prob(draw[0]), rtol=1e-4, atol=1e-4)
    assert measure.score(draw[0].float()).dtype == torch.float32
    with pytest.raises(InputError, match="wanted \\(n, "):
        measure.log_prob(torch.zeros(3, 7))


def test_student_t_radius_follows_its_law():
    x = StudentT(torch.zeros(3, dtype=torch.float64), degrees=2.5).sample(
        20_000, generator=torch.Generator().manual_seed(0)
    )
    assert stats.kstest((x.square().sum(1) / 3).numpy(), stats.f(3, 2.5).cdf).pvalue > 1e-3
    with pytest.raises(InputError, match="more than 2 degrees"):
        _ = StudentT([0.0], degrees=2.0).covariance


def test_standard_normal_is_recognised():
    assert Gaussian.standard(1, 8, 8).is_standard_normal
    assert Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]]).is_standard_normal
    assert not Gaussian([0.0, 1e-3]).is_standard_normal
    assert not Gaussian([0.0, 0.0], [[1.0, 0.1], [0.1, 1.0]]).is_standard_normal
    assert not StudentT([0.0]).is_standard_normal


BAD = {
    "not positive definite": lambda: Gaussian([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]),
    "not symmetric": lambda: Gaussian([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]),
    "wanted \\(2, 2\\)": lambda: Gaussian([0.0, 0.0], [1.0, 1.0]),
    "non-finite": lambda: Gaussian([0.0, math.nan]),
    "wanted at least one number": lambda: Gaussian([]),
    "wanted \\(1, 2, 2, 4\\)": lambda: Gaussian(torch.zeros(1, 2, 2), torch.eye(4)),
    "means has shape \\(2,\\)": lambda: GaussianMixture([0.0, 1.0], [[[1.0]]]),
    "2 positive numbers": lambda: GaussianMixture([[0.0], [1.0]], [[[1.0]], [[1.0]]], [1.0, 0.0]),
    "degrees must be positive": lambda: StudentT([0.0], degrees=0.0),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input_is_refused(message):
    with pytest.raises(InputError, match=message):
        BAD[message]()
