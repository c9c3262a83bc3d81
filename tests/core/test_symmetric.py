"""Roots of symmetric matrices: inverses, null directions, derivatives with repeated eigenvalues."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.symmetric import check_covariance, inverse_root, symmetric_root


def psd(d, rank, seed=0, batch=()):
    factor = torch.randn(*batch, d, rank, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return factor @ factor.mT


@pytest.mark.parametrize("rank", [2, 5])
def test_root_squares_to_the_matrix_and_its_pseudo_inverse_projects(rank):
    A = psd(5, rank, batch=(3,))
    R, inverse = symmetric_root(A), inverse_root(A)
    torch.testing.assert_close(R @ R, A, atol=1e-12, rtol=0)
    torch.testing.assert_close(R, R.mT, atol=1e-14, rtol=0)
    projector = R @ inverse
    torch.testing.assert_close(projector @ projector, projector, atol=1e-10, rtol=0)
    torch.testing.assert_close(projector.diagonal(dim1=-2, dim2=-1).sum(-1), torch.full((3,), rank).double())


def test_derivative_is_right_where_eigenvalues_repeat():
    """The square of the differentiated root has the derivative of the matrix, here at the identity and nearby."""
    g = torch.Generator().manual_seed(1)
    H = torch.randn(4, 4, generator=g, dtype=torch.float64)
    H = H + H.T
    for A in (torch.eye(4, dtype=torch.float64), psd(4, 4)):
        weight = torch.randn(4, 4, generator=g, dtype=torch.float64)
        A = A.requires_grad_()
        (gradient,) = torch.autograd.grad((weight * symmetric_root(A)).sum(), A)
        h = 1e-6
        with torch.no_grad():
            slope = (weight * (symmetric_root(A + h * H) - symmetric_root(A - h * H))).sum() / (2 * h)
        torch.testing.assert_close((gradient * H).sum(), slope, rtol=1e-7, atol=1e-7)


def test_derivative_is_finite_at_a_singular_matrix_and_only_first():
    A = psd(4, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(symmetric_root(A).pow(3).sum(), A, create_graph=True)
    assert gradient.isfinite().all()
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_bad_matrices_are_named():
    with pytest.raises(InputError, match=r"A must be floating matrices .*, got torch.float32 of shape \(2, 3\)"):
        check_covariance("A", torch.zeros(2, 3))
    with pytest.raises(InputError, match="both sides must agree"):
        check_covariance("A", torch.zeros(2, 2), torch.zeros(3, 3))
