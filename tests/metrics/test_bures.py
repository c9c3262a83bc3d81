"""Gaussian distances against closed forms, gradients at low rank, entropic objectives against Sinkhorn on a grid."""

import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics.bures import bures_wasserstein2, entropic_gaussian, gaussian_wasserstein2
from pushforward.ot import solve
from pushforward.symmetric import inverse_root, symmetric_root


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def covariance(d, seed=0, rank=None, batch=()):
    factor = random(*batch, d, rank or d + 2, seed=seed)
    return factor @ factor.mT


def transport_matrix(A, B):
    """T = A^-1/2 (A^1/2 B A^1/2)^1/2 A^-1/2 by definition."""
    R, inverse = symmetric_root(A), inverse_root(A)
    return inverse @ symmetric_root(R @ B @ R) @ inverse


def test_commuting_covariances_compare_their_roots():
    basis = torch.linalg.qr(random(4, 4)).Q
    a, b = torch.tensor([3.0, 1.0, 0.5, 0.0]).double(), torch.tensor([1.0, 2.0, 0.0, 0.3]).double()
    A, B = basis @ a.diag() @ basis.T, basis @ b.diag() @ basis.T
    torch.testing.assert_close(bures_wasserstein2(A, B), (a.sqrt() - b.sqrt()).square().sum(), atol=1e-12, rtol=0)


def test_it_is_the_cost_of_the_map_symmetric_and_zero_at_equality():
    A, B = covariance(4, 0, batch=(5,)), covariance(4, 1, batch=(5,))
    shift = torch.eye(4, dtype=torch.float64) - transport_matrix(A, B)
    cost = (shift @ A @ shift).diagonal(dim1=-2, dim2=-1).sum(-1)
    torch.testing.assert_close(bures_wasserstein2(A, B), cost, atol=1e-11, rtol=0)
    torch.testing.assert_close(bures_wasserstein2(A, B), bures_wasserstein2(B, A), atol=1e-11, rtol=0)
    assert bures_wasserstein2(A, A).max() < 1e-12


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_gradient_is_identity_minus_map(tau):
    A, B = covariance(5, 0).requires_grad_(), covariance(5, 1).requires_grad_()
    gradients = torch.autograd.grad(bures_wasserstein2(A, B, tau=tau), (A, B))
    identity = torch.eye(5, dtype=torch.float64)
    lifted = A.detach() + tau * identity, B.detach() + tau * identity
    torch.testing.assert_close(gradients[0], identity - transport_matrix(*lifted), atol=1e-10, rtol=0)
    torch.testing.assert_close(gradients[1], identity - transport_matrix(*lifted[::-1]), atol=1e-10, rtol=0)


def test_gradient_survives_repeated_eigenvalues():
    A = torch.eye(3, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(bures_wasserstein2(A, 4 * torch.eye(3, dtype=torch.float64)), A)
    torch.testing.assert_close(gradient, -torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("rank", [1, 3, 6, 9])
def test_factor_form_is_the_same_distance_with_gradient_two_times_identity_minus_map_times_factor(rank):
    W, B = random(6, rank).requires_grad_(), covariance(6, 1)
    loss = bures_wasserstein2(None, B, factor=W)
    (gradient,) = torch.autograd.grad(loss, W)
    S = (W @ W.T).detach()
    torch.testing.assert_close(loss.detach(), bures_wasserstein2(S, B), atol=1e-10, rtol=0)
    R = symmetric_root(B)  # T = B^1/2 (B^1/2 S B^1/2)^-1/2 B^1/2, by the pseudo-inverse where W has a low rank
    T = R @ inverse_root(R @ S @ R) @ R
    torch.testing.assert_close(gradient, 2 * (W.detach() - T @ W.detach()), atol=1e-10, rtol=0)


def test_low_rank_with_tau_passes_gradcheck_also_where_a_column_is_lost():
    B, W = covariance(4, 1), random(4, 2)
    W[:, 1] = 0
    loss = lambda W, B: bures_wasserstein2(None, B @ B.T, factor=W, tau=0.1)  # noqa: E731
    assert torch.autograd.gradcheck(loss, (W.requires_grad_(), B.requires_grad_()))
    (gradient,) = torch.autograd.grad(bures_wasserstein2(None, B @ B.T, factor=W), W)
    assert gradient.isfinite().all() and gradient[:, 1].abs().max() == 0


def test_gaussians_on_the_line_and_translation():
    one = torch.ones(1, 1, dtype=torch.float64)
    found = gaussian_wasserstein2(torch.tensor([1.0]).double(), 4 * one, torch.tensor([-2.0]).double(), 9 * one)
    assert float(found) == pytest.approx(9 + 1)


@pytest.mark.parametrize("epsilon", [0.3, 2.0])
def test_entropic_objective_is_sinkhorns_on_a_grid(epsilon):
    grid = torch.linspace(-7, 7, 300, dtype=torch.float64)[:, None]
    weights = [torch.exp(-((grid[:, 0] - m) ** 2) / (2 * v)) for m, v in ((0.3, 1.0), (-1.0, 0.5))]
    a, b = (w / w.sum() for w in weights)
    plan = solve(grid, grid, a, b, epsilon=epsilon, tolerance=1e-9)
    moments = [torch.tensor([[value]], dtype=torch.float64) for value in (0.3, 1.0, -1.0, 0.5)]
    exact = entropic_gaussian(moments[0][0], moments[1], moments[2][0], moments[3], epsilon)
    assert float(plan.objective) == pytest.approx(float(exact), abs=1e-5)


def test_entropic_objective_between_its_limits():
    """It grows from the squared distance (epsilon to zero) to the cost of independent points."""
    m, A, B = random(3, seed=2), covariance(3, 0), covariance(3, 1)
    found = [float(entropic_gaussian(m, A, 0 * m, B, epsilon)) for epsilon in (1e-6, 0.1, 1.0, 10.0, 1e6)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(float(gaussian_wasserstein2(m, A, 0 * m, B)), abs=1e-4)
    assert found[-1] == pytest.approx(float(m.square().sum() + A.trace() + B.trace()), abs=1e-3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: bures_wasserstein2(None, torch.eye(2)), "give exactly one"),
        (lambda: bures_wasserstein2(torch.eye(2), torch.eye(2), factor=torch.eye(2)), "give exactly one"),
        (lambda: bures_wasserstein2(torch.eye(3), torch.eye(2)), "both sides must agree"),
        (
            lambda: bures_wasserstein2(None, torch.eye(2), factor=torch.zeros(3, 1)),
            r"wanted torch.float32 \(..., 2",
        ),
        (lambda: bures_wasserstein2(torch.eye(2), torch.eye(2), tau=-1), "tau must not be negative"),
        (lambda: gaussian_wasserstein2(torch.zeros(3), torch.eye(2), torch.zeros(2), torch.eye(2)), "mean0 has shape"),
        (lambda: entropic_gaussian(torch.zeros(2), torch.eye(2), torch.zeros(2), torch.eye(2), math.inf), "epsilon"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
