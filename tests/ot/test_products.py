"""Tiled plan products against the matrix."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot.entropic import tiles
from pushforward.ot.entropic.products import PlanProducts
from pushforward.ot.problem import pose


class Largest(TorchDispatchMode):
    """Entries of the largest tensor that any operation made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.entries = max([self.entries, *(t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor))])
        return out


def posed(cost, batch=(), n=23, m=17, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    x, y = (torch.randn(*batch, k, 2, generator=g, dtype=torch.float64).to(dtype) for k in (n, m))
    a, b = torch.rand(*batch, n, generator=g).double(), torch.rand(*batch, m, generator=g).double()
    a[..., :3], b[..., 5:7] = 0, 0
    a, b = a / a.sum(-1, keepdim=True), b / b.sum(-1, keepdim=True)
    problem = pose(x, y, a, b, torch.cdist(x, y) if cost == "matrix" else cost)
    f, h = (torch.randn(*batch, k, generator=g, dtype=torch.float64) for k in (n, m))
    f[..., 0], h[..., 5] = 1e4, 1e4  # where points without mass meet, the exponential overflows
    return problem, f, h


@pytest.mark.parametrize("size", [1 << 8, 1 << 19])
@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(1), "matrix"])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_products_are_the_matrix_products(monkeypatch, size, cost, batch):
    monkeypatch.setattr(tiles, "CACHE", size)
    problem, f, g = posed(cost, batch)
    C, weights = problem.dense(), problem.a.unsqueeze(-1) * problem.b.unsqueeze(-2)
    P = torch.where(weights > 0, weights * ((f.unsqueeze(-1) + g.unsqueeze(-2) - C) / 0.5).exp(), 0)
    u, v = torch.randn(*batch, 23, 3).double(), torch.randn(*batch, 17, 4).double()
    plan = PlanProducts(problem, 0.5, f, g)
    torch.testing.assert_close(plan.apply(v), P @ v)
    torch.testing.assert_close(plan.transpose_apply(u), P.mT @ u)
    torch.testing.assert_close(plan.value(), (P * C).sum((-2, -1)))
    torch.testing.assert_close(plan.means(v)[..., 3:, :], (P @ v / P.sum(-1, keepdim=True))[..., 3:, :])
    rows, columns = plan.sums()
    torch.testing.assert_close(problem.a * rows, P.sum(-1))
    torch.testing.assert_close(problem.b * columns, P.sum(-2))
    assert rows[..., 1:].isfinite().all() and columns.isfinite().all()


def test_plans_of_float32_points_are_computed_in_the_dtype_of_their_potentials():
    problem, f, g = posed(SquaredEuclidean(), dtype=torch.float32)
    f[0], g[5] = 0, 0
    plan, double = PlanProducts(problem, 0.5, f, g), PlanProducts(problem.to(torch.float64), 0.5, f, g)
    assert plan.value().dtype == torch.float64
    torch.testing.assert_close(plan.value(), double.value(), rtol=1e-12, atol=0)


def test_values_far_from_the_origin_keep_their_digits():
    """A translation by t of one point onto another costs |t|^2, whatever the potentials' size."""
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    problem = pose(x, x + 1e4, None, None, SquaredEuclidean())
    C = (x[:, None] - x - 1e4).square().sum(-1)
    f = torch.zeros(2, dtype=torch.float64)
    g = -0.1 * torch.logsumexp((f[:, None] - C) / 0.1 - torch.log(torch.tensor(2.0).double()), 0)
    P = ((f[:, None] + g - C) / 0.1).exp() / 4
    torch.testing.assert_close(PlanProducts(problem, 0.1, f, g).value(), (P * C).sum(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("operation", ["sums", "value", "apply", "transpose_apply", "means"])
def test_nothing_larger_than_a_tile_is_ever_made(monkeypatch, operation):
    monkeypatch.setattr(tiles, "CACHE", 8 << 12)
    problem, f, g = posed(SquaredEuclidean(), n=600, m=600)
    plan, arguments = (
        PlanProducts(problem, 0.5, f, g),
        (torch.ones(600, 3),) if operation not in ("sums", "value") else (),
    )
    with Largest() as largest:
        getattr(plan, operation)(*arguments)
    assert largest.entries <= 1 << 12
