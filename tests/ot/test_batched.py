"""Many problems at once: the same as one by one."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.ot import KL, BatchPlan, EntropicPlan, solve


def clouds(seed=0, problems=5, n=20, m=16, d=3):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(problems, n, d, generator=g, dtype=torch.float64)
    y = torch.randn(problems, m, d, generator=g, dtype=torch.float64) + 1
    a = torch.rand(problems, n, generator=g, dtype=torch.float64)
    a[0, :3] = 0
    return x, y, a / a.sum(1, keepdim=True)


@pytest.mark.parametrize("marginals", [None, KL(2.0)])
def test_entropic_batch_is_one_by_one(marginals):
    x, y, a = clouds()
    options = {"epsilon": 0.2, "tolerance": 1e-11} | ({} if marginals is None else {"marginals": marginals})
    plan = solve(x, y, a, **options)
    assert isinstance(plan, EntropicPlan) and plan.f.shape == (5, 20) and plan.g.shape == (5, 16)
    z = torch.randn(5, 4, 3, dtype=torch.float64)
    for k in range(5):
        one = solve(x[k], y[k], a[k], **options)
        close = lambda u, v: torch.testing.assert_close(u, v, atol=1e-7, rtol=1e-7)  # noqa: E731
        close(plan.to_dense()[k], one.to_dense())
        close(plan.value[k], one.value)
        close(plan.objective[k], one.objective)
        keep = a[k] > 0
        close(plan.barycentric_map()[k][keep], one.barycentric_map()[keep])
        close(plan.transpose_apply(x)[k], one.transpose_apply(x[k]))
        close(plan.apply(y[..., 0])[k], one.apply(y[k, :, 0]))
        close(plan.extended_map(z)[k], one.extended_map(z[k]))
        close(plan.to_sparse(1e-3).to_dense()[k], one.to_sparse(1e-3).to_dense())


def test_matrices_and_exact_problems():
    x, y, a = clouds(n=16)
    plan = solve(x, y)
    assert isinstance(plan, BatchPlan) and plan.value.shape == (5,) and plan.method == "assignment"
    mixed = solve(x, y, a)
    for k in range(5):
        one = solve(x[k], y[k], a[k])
        torch.testing.assert_close(plan.value[k], solve(x[k], y[k]).value)
        torch.testing.assert_close(mixed.value[k], one.value)
        torch.testing.assert_close(mixed.to_dense()[k], one.to_dense())
        torch.testing.assert_close(mixed.apply(y)[k], one.apply(y[k]))
    cost = torch.rand(4, 6, 7, dtype=torch.float64)
    plan = solve(cost=cost, epsilon=0.1, tolerance=1e-10)
    torch.testing.assert_close(
        plan.to_dense()[2], solve(cost=cost[2], epsilon=0.1, tolerance=1e-10).to_dense(), atol=1e-8, rtol=0
    )


def test_clouds_of_unlike_batches_are_refused():
    x, y, _ = clouds()
    with pytest.raises(InputError, match="as many problems"):
        solve(x, y[:3], epsilon=0.1)
    with pytest.raises(InputError, match="flatten"):
        solve(torch.rand(4, 3, 2, 2), epsilon=0.1)
