"""What every plan offers, lazily and sparsely, against its own dense matrix."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.ot import problem, solve
from pushforward.ot.entropic import plan as entropic_plan


def points(n, m, dtype=torch.float64):
    g = torch.Generator().manual_seed(0)
    a, b = torch.rand(n, generator=g).to(dtype), torch.rand(m, generator=g).to(dtype)
    return (
        torch.randn(n, 4, generator=g).to(dtype),
        torch.randn(m, 4, generator=g).to(dtype),
        a / a.sum(),
        b / b.sum(),
    )


def plan_of(method, dtype=torch.float64):
    x, y, a, b = points(*((12, 12) if method in ("assignment",) else (12, 9)), dtype)
    if method in ("assignment",):
        return solve(x, y, method=method)
    return solve(x, y, a, b, method=method, epsilon=0.5 if method == "sinkhorn" else None)


METHODS = ["assignment", "exact", "sinkhorn"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", METHODS)
def test_operations_agree_with_the_matrix(method, dtype, monkeypatch):
    monkeypatch.setattr(problem, "BLOCK", 20)  # several blocks of rows
    monkeypatch.setattr(entropic_plan, "BLOCK", 20)
    plan = plan_of(method, dtype)
    P, (n, m) = plan.to_dense(), plan.problem.shape
    x, y = plan.problem.points()
    close = lambda u, v: torch.testing.assert_close(u, v, atol=1e-6, rtol=1e-5)  # noqa: E731
    assert P.shape == (n, m) and P.dtype == dtype and P.min() >= 0
    close(plan.apply(y), P @ y)
    close(plan.transpose_apply(x), P.T @ x)
    close(plan.apply(y[:, 0]), P @ y[:, 0])
    close(plan.to_sparse().to_dense(), P)
    close(plan.to_sparse(0.02).to_dense(), P * (P > 0.02))
    close(plan.barycentric_map(), P @ y / P.sum(1)[:, None])
    close(plan.value, (P * plan.problem.dense()).sum())
    assert plan.marginal_error < 1e-3 and plan.converged and plan.method == method
    assert plan.f.shape == (n,) and plan.g.shape == (m,) and plan.f.dtype == dtype
    assert float(plan.problem.a @ plan.f - plan.problem.b @ plan.g) == pytest.approx(0, abs=1e-4)
    assert not plan.value.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_samples_follow_the_plan(method):
    plan = plan_of(method)
    P, (n, m) = plan.to_dense(), plan.problem.shape
    i, j = plan.sample_pairs(40_000, generator=torch.Generator().manual_seed(0))
    frequency = torch.bincount(i * m + j, minlength=n * m).reshape(n, m) / 40_000
    assert (frequency - P).abs().max() < 4 * (0.25 / 40_000) ** 0.5
    assert not frequency[P == 0].any()
    same = plan.sample_pairs(40_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(i, same[0]) and torch.equal(j, same[1])


@pytest.mark.parametrize("method", METHODS)
def test_one_source_for_every_target(method):
    plan, generator = plan_of(method), torch.Generator().manual_seed(0)
    P, (n, m) = plan.to_dense(), plan.problem.shape
    draws = torch.stack([plan.sample_sources(generator=generator) for _ in range(1500)])
    frequency = torch.zeros(n, m, dtype=torch.float64)
    frequency.index_put_(
        (draws.flatten(), torch.arange(m).repeat(1500)), torch.tensor(1 / 1500, dtype=torch.float64), True
    )
    assert (frequency - P / P.sum(0)).abs().max() < 4 * (0.25 / 1500) ** 0.5


def test_plan_of_a_matrix_has_no_points():
    plan = solve(cost=torch.rand(4, 4))
    with pytest.raises(InputError, match="knows no points"):
        plan.barycentric_map()
    with pytest.raises(InputError, match="no permutation"):
        _ = plan_of("exact").permutation


def test_points_may_come_with_a_matrix():
    x, y, _, _ = points(5, 5)
    plan = solve(x, y, cost=torch.eye(5, dtype=torch.float64))
    assert plan.value == 0 and plan.barycentric_map().shape == (5, 4)


def test_lists_and_arrays_are_points():
    plan = solve(
        [[0.0, 0.0], [1.0, 0.0]], torch.tensor([[1.0, 0.1], [0.0, 0.1]]).double().numpy().astype("float64").tolist()
    )
    assert plan.permutation.tolist() == [1, 0]
