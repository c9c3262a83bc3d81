"""Conjugate gradients against direct solutions."""

import torch

from pushforward.ot.entropic.conjugate_gradients import conjugate_gradients


def laplacians(batch=3, m=12):
    """Graph Laplacians of random weights: symmetric, positive but for the constants."""
    weights = torch.rand(batch, m, m, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 6
    weights = weights + weights.mT
    return torch.diag_embed(weights.sum(-1)) - weights


def times(A, v):
    return (A @ v.unsqueeze(-1)).squeeze(-1)


def test_batches_of_singular_systems():
    A = laplacians()
    rhs = torch.randn(3, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rhs = rhs - rhs.mean(-1, keepdim=True)
    rhs[1] = 0  # solved before it begins; the others go on
    diagonal = A.diagonal(dim1=-2, dim2=-1)
    solved = conjugate_gradients(lambda v: times(A, v), rhs, diagonal, tolerance=1e-12, max_iterations=100)
    assert solved.residual <= 1e-12 and 1 < solved.iterations < 30
    torch.testing.assert_close(times(A, solved.x), rhs, atol=1e-10, rtol=0)
    assert solved.x[1].abs().max() == 0


def test_the_residual_reported_is_the_true_one():
    A = laplacians() + torch.eye(12)
    rhs = torch.randn(3, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    diagonal = A.diagonal(dim1=-2, dim2=-1)
    solved = conjugate_gradients(lambda v: times(A, v), rhs, diagonal, tolerance=1e-12, max_iterations=3)
    missed = rhs - times(A, solved.x)
    relative = ((missed**2 / diagonal).sum(-1) / (rhs**2 / diagonal).sum(-1)).sqrt()
    assert solved.iterations == 3
    torch.testing.assert_close(torch.tensor(solved.residual, dtype=torch.float64), relative.max())
