"""Gaussian maps: pushed moments, optimality, singular covariances with and without noise, streaming, save and load."""

import pytest
import torch

import pushforward as pf
from pushforward.errors import InputError
from pushforward.maps.gaussian import GaussianMap, Moments
from pushforward.measures import Gaussian
from pushforward.metrics.bures import gaussian_wasserstein2
from pushforward.symmetric import symmetric_root


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(d, rank=None, seed=0):
    factor = random(d, rank or d + 1, seed=seed)
    return factor @ factor.T


def between(rank0, rank1, d=4, **options):
    moments = random(d, seed=2), covariance(d, rank0, 0), random(d, seed=3), covariance(d, rank1, 1)
    return GaussianMap.fit_statistics(*moments, **options), *moments


@pytest.mark.parametrize("rank1", [4, 2])
def test_matrix_is_symmetric_positive_and_carries_a_to_b(rank1):
    transport, _, A, _, B = between(4, rank1)
    T = transport.matrix
    torch.testing.assert_close(T, T.T, atol=1e-10, rtol=0)
    torch.testing.assert_close(T @ A @ T, B, atol=1e-10, rtol=0)
    assert torch.linalg.eigvalsh(T).min() > -1e-10 and transport.noise_factor.abs().max() < 1e-10


def test_sample_moments_are_met_exactly_at_the_optimal_cost():
    x, y = random(50, 2, 3), 2 * random(80, 2, 3, seed=1) + 5
    transport = GaussianMap.fit(x, y)
    pushed, target = Moments.of(transport.push(x)), Moments.of(y)
    torch.testing.assert_close(pushed.mean, target.mean, atol=1e-12, rtol=0)
    torch.testing.assert_close(pushed.covariance, target.covariance, atol=1e-10, rtol=0)
    source = Moments.of(x)
    shift = transport.matrix - torch.eye(6, dtype=torch.float64)
    cost = (target.mean - source.mean).square().sum() + (shift @ source.covariance @ shift).trace()
    w2 = gaussian_wasserstein2(source.mean.flatten(), source.covariance, target.mean.flatten(), target.covariance)
    torch.testing.assert_close(w2, cost)
    torch.testing.assert_close(transport.pull(transport.push(x)), x)


def test_density_is_the_change_of_variables():
    transport, m0, A, m1, B = between(4, 4)
    x = random(10, 4, seed=4)
    change = Gaussian(m0, A).log_prob(x) - torch.linalg.slogdet(transport.matrix).logabsdet
    torch.testing.assert_close(transport.log_prob(transport.push(x)), change)
    torch.testing.assert_close(transport.log_prob(x), Gaussian(m1, B).log_prob(x))


def test_interpolation_is_the_geodesic():
    transport, m0, A, m1, B = between(4, 4)
    whole = gaussian_wasserstein2(m0, A, m1, B).sqrt()
    for t in (0.0, 0.3, 1.0):
        law = transport.at(t).pushed
        torch.testing.assert_close(
            gaussian_wasserstein2(m0, A, law.mean, law.covariance).sqrt(), t * whole, atol=1e-6, rtol=0
        )
    x = random(3, 4)
    torch.testing.assert_close(transport.at(0.3).push(x), 0.7 * x + 0.3 * transport.push(x))
    torch.testing.assert_close(transport.at(1.0).push(x), transport.push(x))


@pytest.mark.parametrize("rank0, rank1", [(2, 4), (2, 2), (1, 3)])
def test_noise_makes_up_for_a_singular_source(rank0, rank1):
    transport, m0, A, m1, B = between(rank0, rank1, stochastic=True)
    T, noise = transport.matrix, transport.noise_factor @ transport.noise_factor.T
    torch.testing.assert_close(T @ A @ T.T + noise, B, atol=1e-10, rtol=0)
    # the joint law (x, T x + noise) is an optimal coupling: its cross-covariance has the trace of the fidelity
    cost = A.trace() + B.trace() - 2 * (T @ A).trace()
    torch.testing.assert_close(cost + (m0 - m1).square().sum(), gaussian_wasserstein2(m0, A, m1, B), atol=1e-8, rtol=0)
    x = Gaussian(m0, A + 1e-12 * torch.eye(4)).sample(100_000, generator=torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    found = Moments.of(transport.push(x, generator=g))
    assert (found.covariance - B).abs().max() < 0.03 * B.abs().max()


def test_noise_is_the_papers():
    """With R = B^1/2 and S = R^-1 (R A R)^1/2 R^-1, the map is B S A^+ and the noise covariance B - B S A^+ S B."""
    transport, _, A, _, B = between(2, 4)
    R, A_inverse = symmetric_root(B), torch.linalg.pinv(A, hermitian=True)
    backward = R.inverse() @ symmetric_root(R @ A @ R) @ R.inverse()
    noise = transport.noise_factor @ transport.noise_factor.T
    torch.testing.assert_close(noise, B - B @ backward @ A_inverse @ backward @ B, atol=1e-9, rtol=0)
    torch.testing.assert_close(transport.matrix, B @ backward @ A_inverse, atol=1e-9, rtol=0)


def test_without_noise_a_singular_source_has_a_conditional_mean_and_no_inverse_or_density():
    transport, _, A, _, B = between(2, 4)
    x = random(5, 4)
    assert torch.equal(transport.push(x), transport.push(x))
    reached = transport.matrix @ A @ transport.matrix.T
    assert torch.linalg.eigvalsh(B - reached).min() > -1e-10 and torch.linalg.matrix_rank(reached) == 2
    with pytest.raises(InputError, match="not invertible"):
        transport.pull(x)
    with pytest.raises(InputError, match="no density"):
        transport.log_prob(x)
    torch.testing.assert_close(between(2, 4, stochastic=True)[0].log_prob(x), Gaussian(*between(2, 4)[3:]).log_prob(x))


def test_ridge_makes_singular_moments_invertible():
    x, y = random(3, 6), random(4, 6, seed=1)
    transport = GaussianMap.fit(x, y, ridge=0.1)
    torch.testing.assert_close(transport.pull(transport.push(x)), x)
    torch.testing.assert_close(transport.source_covariance, Moments.of(x).covariance + 0.1 * torch.eye(6))


def test_streamed_moments_are_those_of_all_points_far_from_the_origin():
    x = random(1000, 3) + 1e6
    streamed = Moments.of(x[:100])
    for start, end in ((100, 101), (101, 700), (700, 1000)):
        streamed = streamed + Moments.of(x[start:end])
    torch.testing.assert_close(streamed.mean, x.mean(0), atol=1e-9, rtol=0)
    torch.testing.assert_close(streamed.covariance, x.T.cov(), atol=1e-8, rtol=0)
    assert streamed.count == 1000


@pytest.mark.parametrize("stochastic", [False, True])
def test_loaded_map_is_the_same(stochastic, tmp_path):
    transport = GaussianMap.fit(random(20, 1, 2, 2), random(20, 1, 2, 2, seed=1), ridge=1e-3, stochastic=stochastic)
    again = pf.load(transport.save(tmp_path))
    x = random(5, 1, 2, 2, seed=2)
    pushes = [t.push(x, generator=torch.Generator().manual_seed(0)) for t in (transport, again)]
    assert torch.equal(*pushes) and again.event_shape == (1, 2, 2) and again.stochastic == stochastic
    assert torch.equal(transport.log_prob(x), again.log_prob(x))


def test_points_keep_their_dtype():
    transport, *_ = between(4, 4)
    assert transport.push(torch.zeros(2, 4)).dtype == torch.float32
    assert transport.log_prob(torch.zeros(2, 4)).dtype == torch.float32


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: GaussianMap.fit(torch.zeros(3, 2), torch.zeros(3, 3)), "both must agree"),
        (lambda: GaussianMap.fit(torch.zeros(3, 2), torch.zeros(3, 2), ridge=-1.0), "ridge must not be negative"),
        (lambda: GaussianMap((2,)).push(torch.zeros(3, 5)), r"rows of shape \(5,\)"),
        (lambda: GaussianMap((2,)).push(torch.zeros(3, 2), condition={"a": 1}), "takes no condition"),
        (lambda: GaussianMap.fit_statistics(torch.zeros(2), torch.eye(3), torch.zeros(2), torch.eye(3)), "cov0 is"),
        (lambda: Moments.of(torch.zeros(3, 2)) + Moments.of(torch.zeros(3, 3)), "both must agree"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
