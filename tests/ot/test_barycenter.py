"""Barycentres against closed forms: quantiles on the line, commuting covariances, blurred and debiased Gaussians."""

import pytest
import torch

import ot as pot
from pushforward.errors import ConvergenceWarning, InputError
from pushforward.metrics.bures import bures_wasserstein2
from pushforward.ot.barycenter import bures_barycenter, free_barycenter
from pushforward.ot.fixed_barycenter import fixed_barycenter

GRID = torch.linspace(-7, 7, 141, dtype=torch.float64)[:, None]
WEIGHTS = [0.2, 0.3, 0.5]


def cloud(n, d=2, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bump(mean, variance):
    weight = torch.exp(-((GRID[:, 0] - mean) ** 2) / (2 * variance))
    return weight / weight.sum()


def moments(weights):
    mean = weights @ GRID[:, 0]
    return mean, (weights * (GRID[:, 0] - mean[..., None]) ** 2).sum(-1)


def test_on_the_line_quantiles_are_averaged():
    clouds = [(k + 1) * cloud(40, 1, seed=k) + k for k in range(3)]
    found = free_barycenter(clouds, WEIGHTS, size=40, generator=torch.Generator().manual_seed(0))
    expected = sum(w * points.sort(0).values for w, points in zip(WEIGHTS, clouds, strict=True))
    torch.testing.assert_close(found.points.sort(0).values, expected, atol=1e-12, rtol=0)
    costs = [(points.sort(0).values - expected).square().mean() for points in clouds]
    cost = sum(w * part for w, part in zip(WEIGHTS, costs, strict=True))
    torch.testing.assert_close(found.value, cost, atol=1e-12, rtol=0)
    assert found.converged


def test_copies_of_one_cloud_average_to_a_copy():
    """Shifts and scalings of one cloud: the same points, shifted and scaled by the averages."""
    x = cloud(30)
    clouds = [(1 + k) * x.flip(0) + 3 * k for k in range(3)]
    found = free_barycenter(clouds, WEIGHTS, start=clouds[2])
    torch.testing.assert_close(found.points.sort(0).values, (2.3 * x + 3.9).sort(0).values)


def test_weighted_clouds_of_unlike_sizes_are_pots():
    clouds, start = [cloud(20, seed=1), cloud(35, seed=2) + 2], cloud(15, seed=3)
    masses = [torch.softmax(cloud(len(points), 1, seed=4)[:, 0], 0) for points in clouds]
    found = free_barycenter(clouds, [0.4, 0.6], start=start, masses=masses)
    arrays = [[t.numpy() for t in tensors] for tensors in (clouds, masses)]
    share = torch.tensor([0.4, 0.6], dtype=torch.float64).numpy()
    theirs = pot.lp.free_support_barycenter(*arrays, start.numpy(), weights=share, stopThr=1e-12)
    torch.testing.assert_close(found.points, torch.from_numpy(theirs), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.weights, torch.full((15,), 1 / 15).double())


def test_gaussian_clouds_average_to_the_bures_barycentre():
    factors = [cloud(2, seed=k) for k in range(3)]
    clouds = [cloud(300, seed=10 + k) @ factor.T for k, factor in enumerate(factors)]
    found = free_barycenter(clouds, WEIGHTS, size=300, generator=torch.Generator().manual_seed(0))
    exact = bures_barycenter(torch.stack([points.T.cov() for points in clouds]), WEIGHTS)
    assert (found.points.T.cov() - exact).norm() < 0.1 * exact.norm()


def test_commuting_covariances_average_their_roots():
    basis = torch.linalg.qr(cloud(4, 4)).Q
    values = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    covariances = (basis * values.unsqueeze(-2)) @ basis.T
    roots = (torch.tensor(WEIGHTS, dtype=torch.float64)[:, None] * values.sqrt()).sum(1)
    expected = (basis * roots.square().unsqueeze(-2)) @ basis.T
    torch.testing.assert_close(bures_barycenter(covariances, WEIGHTS), expected, atol=1e-9, rtol=0)


def test_bures_barycentre_is_where_the_objective_is_stationary():
    A = torch.stack([cloud(4, 6, seed=k) @ cloud(4, 6, seed=k).T for k in range(3)])
    S = bures_barycenter(A, WEIGHTS).requires_grad_()
    objective = (torch.tensor(WEIGHTS, dtype=torch.float64) * bures_wasserstein2(S.expand(3, 4, 4), A)).sum()
    (gradient,) = torch.autograd.grad(objective, S)
    assert gradient.abs().max() < 1e-8


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_entropy_blurs_by_half_of_epsilon_and_debiasing_does_not(epsilon):
    """Gaussians of variance 0.8 on the line: variance 0.8 + epsilon / 2 (Janati et al. 2020), and 0.8 debiased."""
    histograms = torch.stack([bump(-1.5, 0.8), bump(1.0, 0.8), bump(2.0, 0.8)])
    for debiased, variance in ((False, 0.8 + epsilon / 2), (True, 0.8)):
        found = fixed_barycenter(histograms, WEIGHTS, x=GRID, epsilon=epsilon, debiased=debiased, tolerance=1e-8)
        mean, spread = moments(found.weights)
        assert float(mean) == pytest.approx(1.0, abs=1e-4) and float(spread) == pytest.approx(variance, abs=1e-4)
        assert found.converged and float(found.weights.sum()) == pytest.approx(1)


def test_histogram_is_pots_in_batches_and_with_empty_bins():
    H = torch.stack([bump(-1.0, 0.5), bump(1.5, 1.0)])
    H[0, 90:] = 0
    H = H / H.sum(-1, keepdim=True)
    C = torch.cdist(GRID, GRID).square()
    found = fixed_barycenter(torch.stack([H, H.flip(0)]), [0.3, 0.7], cost=C, epsilon=0.5, tolerance=1e-10)
    for k, weights in enumerate(([0.3, 0.7], [0.7, 0.3])):
        theirs = pot.bregman.barycenter(
            H.T.numpy(), C.numpy(), 0.5, weights=torch.tensor(weights).numpy(), method="sinkhorn_log", stopThr=1e-13,
            numItermax=5000,
        )  # fmt: skip
        torch.testing.assert_close(found.weights[k], torch.from_numpy(theirs), atol=1e-7, rtol=0)


def test_points_of_the_result_may_be_others():
    """On a coarser grid the barycentre of one histogram is its blurred image, and value the cost of the plan."""
    coarse = GRID[::4]
    C = torch.cdist(coarse, GRID).square()
    found = fixed_barycenter(bump(0.5, 1.0)[None], cost=C, epsilon=0.2, tolerance=1e-9)
    mean = found.weights @ coarse[:, 0]
    assert found.weights.shape == (36,) and float(mean) == pytest.approx(0.5, abs=1e-3)
    assert float(found.value) == pytest.approx(0.1, rel=0.05)  # a free side: every point spreads by the kernel alone


def test_stopping_short_warns():
    with pytest.warns(ConvergenceWarning, match="fixed_barycenter stopped after 2 rounds with a marginal error"):
        fixed_barycenter(torch.stack([bump(-2, 1), bump(2, 1)]), x=GRID, epsilon=0.1, max_iterations=2)
    with pytest.warns(ConvergenceWarning, match="free_barycenter stopped after 1 rounds with a step"):
        assert not free_barycenter([cloud(20), cloud(20, seed=1)], size=10, rounds=1).converged


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: free_barycenter([cloud(5)]), "give one"),
        (lambda: free_barycenter([cloud(5)], size=6), "size must lie between 1 and 5"),
        (lambda: free_barycenter([], size=6), "at least one cloud"),
        (lambda: free_barycenter([cloud(5)], [0.4], size=2), "weights must be 1 numbers of sum one"),
        (lambda: fixed_barycenter(torch.eye(3), epsilon=1.0), "give one"),
        (lambda: fixed_barycenter(torch.ones(3, 3), cost=torch.eye(3), epsilon=1.0), "sum to one"),
        (lambda: fixed_barycenter(torch.eye(3), cost=torch.zeros(2, 3), epsilon=1.0, debiased=True), "must be square"),
        (lambda: fixed_barycenter(torch.eye(3), cost=torch.zeros(2, 4), epsilon=1.0), "both must agree"),
        (lambda: fixed_barycenter(torch.eye(3), cost=torch.eye(3), epsilon=-1.0), "epsilon must be positive"),
        (lambda: bures_barycenter(torch.eye(3)), r"wanted \(..., K, d, d\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
