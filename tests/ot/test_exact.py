"""Exact plans against SciPy, POT, closed forms, and their own dual certificate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import ot as pot
from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import PNorm
from pushforward.ot import solve
from pushforward.ot.exact import linear_program


def cloud(n, d, seed, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def weights(n, seed, zeros=0):
    w = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    w[:zeros] = 0
    return w / w.sum()


def certified(plan, cost, tolerance=1e-9):
    scale = float(cost.abs().max()) or 1.0
    assert plan.marginal_error < 1e-12
    assert abs(plan.duality_gap) < tolerance * scale
    assert (plan.f[:, None] + plan.g - cost).max() < tolerance * scale
    entries = plan.to_sparse(1e-12).indices()
    i, j = entries[:, (plan.problem.a[entries[0]] > 0)]
    assert (plan.f[i] + plan.g[j] - cost[i, j]).abs().max() < 10 * tolerance * scale


@pytest.mark.parametrize("n, d", [(1, 2), (2, 1), (100, 2), (300, 2), (300, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_assignment_is_scipys(n, d, dtype):
    x, y = cloud(n, d, 0, dtype), 2 * cloud(n, d, 1, dtype) + 5
    plan = solve(x, y)
    cost = plan.problem.dense().double()
    rows, columns = linear_sum_assignment(cost.numpy())
    assert cost[torch.arange(n), plan.permutation].sum() == pytest.approx(cost[rows, columns].sum().item(), rel=1e-12)
    assert plan.method == ("monotone" if d == 1 else "assignment") and plan.converged and plan.value.dtype == dtype
    assert torch.equal(plan.permutation.sort().values, torch.arange(n))


@pytest.mark.parametrize("n", [100, 200])
def test_assignment_is_certified_by_its_potentials(n):
    x, y = cloud(n, 3, 0), cloud(n, 3, 1)
    plan = solve(x, y)
    certified(plan, plan.problem.dense())


@pytest.mark.parametrize("kind", ["integers", "duplicates", "constant", "outlier", "separable"])
def test_degenerate_assignments_are_optimal(kind):
    g = torch.Generator().manual_seed(3)
    cost = torch.randint(0, 4, (200, 200), generator=g).double()
    if kind == "duplicates":
        cost = cost[torch.randint(0, 10, (200,), generator=g)]
    elif kind == "constant":
        cost = torch.ones(200, 200, dtype=torch.float64)
    elif kind == "outlier":
        cost[7] += 1e9
    elif kind == "separable":
        cost = torch.rand(200, 1, generator=g, dtype=torch.float64) + torch.rand(200, generator=g, dtype=torch.float64)
    rows, columns = linear_sum_assignment(cost.numpy())
    assert float(solve(cost=cost).value) == pytest.approx(float(cost[rows, columns].mean()), rel=1e-12)


def test_approximate_assignment_is_a_permutation_of_nearly_least_cost():
    x, y = cloud(400, 8, 0), cloud(400, 8, 1) + 1
    exact, quick = solve(x, y), solve(x, y, method="approximate")
    assert torch.equal(quick.permutation.sort().values, torch.arange(400))
    lost, independent = float(quick.value - exact.value), float(quick.problem.dense().mean() - exact.value)
    assert -1e-12 < lost < 0.03 * independent
    assert quick.duality_gap >= lost - 1e-12  # the certificate bounds the loss


@pytest.mark.parametrize(
    "n, m, d, zeros", [(40, 60, 2, 0), (60, 40, 5, 7), (200, 130, 1, 3), (1, 5, 2, 0), (150, 150, 64, 0)]
)
def test_linear_program_has_pots_value_and_a_certificate(n, m, d, zeros):
    x, y, a, b = cloud(n, d, 0), cloud(m, d, 1), weights(n, 2, zeros), weights(m, 3, zeros)
    plan = solve(x, y, a, b)
    cost = plan.problem.dense()
    assert plan.method == ("monotone" if d == 1 else "exact")
    assert float(plan.value) == pytest.approx(pot.emd2(a.numpy(), b.numpy(), cost.numpy(), numItermax=10**6), rel=1e-10)
    certified(plan, cost)
    assert len(plan.mass) <= n + m - 1


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6))
def test_degenerate_programs(n, m, seed):
    """Small integers everywhere: ties, zero costs and zero weights."""
    rng = np.random.default_rng(seed)
    cost = torch.from_numpy(rng.integers(0, 3, (n, m)).astype(float))
    a, b = (torch.from_numpy(rng.integers(0, 3, k) + (np.arange(k) == 0)).double() for k in (n, m))
    plan = solve(cost=cost, a=a / a.sum(), b=b / b.sum(), method="exact")
    expected = pot.emd2((a / a.sum()).numpy(), (b / b.sum()).numpy(), cost.numpy())
    assert float(plan.value) == pytest.approx(expected, abs=1e-10)
    certified(plan, cost)


def test_one_dimension_is_sorting():
    x, y = cloud(300, 1, 0), cloud(300, 1, 1)
    sorted_value = (x.sort(0).values - y.sort(0).values).abs().mean()
    for method in ("assignment", "exact"):
        assert float(solve(x, y, cost=PNorm(1), method=method).value) == pytest.approx(float(sorted_value), rel=1e-9)


def test_unequal_sizes_equal_the_replicated_assignment():
    x, y = cloud(50, 2, 0), cloud(100, 2, 1)
    replicated = solve(x.repeat_interleave(2, 0), y)
    assert float(solve(x, y).value) == pytest.approx(float(replicated.value), rel=1e-10)


def test_shift_of_a_cloud_leaves_the_permutation():
    x, y = cloud(200, 3, 0), cloud(200, 3, 1)
    assert torch.equal(solve(x, y).permutation, solve(x, y + 100).permutation)


def test_weights_in_float32():
    x, y, a, b = cloud(80, 2, 0), cloud(50, 2, 1), weights(80, 2), weights(50, 3)
    single = solve(x.float(), y.float(), a.float(), b.float())
    assert single.value.dtype == torch.float32 and single.marginal_error < 1e-5
    assert float(single.value) == pytest.approx(float(solve(x, y, a, b).value), rel=1e-5)


def test_too_few_rounds_warn_with_figures(monkeypatch):
    monkeypatch.setattr(linear_program, "CANDIDATES", 1)
    g = torch.Generator().manual_seed(0)
    cost = torch.rand(300, 200, generator=g, dtype=torch.float64)
    full = solve(cost=cost, a=weights(300, 1), b=weights(200, 2))
    assert full.converged and full.iterations > 1
    with pytest.warns(ConvergenceWarning, match=r"after 1 rounds .* wanted 1.00e-09"):
        plan = solve(cost=cost, a=weights(300, 1), b=weights(200, 2), max_iterations=1)
    assert not plan.converged
    assert (
        float(plan.value - full.value) <= plan.duality_gap + 1e-12
    )  # still feasible, and the gap still bounds the loss


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"x": torch.zeros(3, 2), "y": torch.zeros(3, 4)}, r"\(2,\).*\(4,\)"),
        ({"x": torch.tensor([[0.0], [float("nan")]])}, "non-finite value, first at row 1"),
        ({"x": torch.zeros(0, 2)}, "empty"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(3, 2).double()}, "float64"),
        ({"x": torch.zeros(3, 2), "a": torch.ones(3)}, "sums to 3"),
        ({"x": torch.zeros(3, 2), "a": torch.ones(4) / 4}, r"\(4,\)"),
        ({"x": torch.zeros(2, 2), "b": torch.tensor([1.5, -0.5])}, "negative weight, first at row 1"),
        ({"cost": torch.zeros(3, 2, dtype=torch.long)}, "floating"),
        ({"cost": torch.full((2, 2), torch.inf)}, "non-finite"),
        ({"x": torch.zeros(3, 2), "cost": torch.zeros(2, 2)}, "2 x 2"),
        ({}, "needs the points"),
        ({"x": torch.zeros(3, 2), "cost": "euclid"}, "Cost"),
        ({"x": torch.zeros(3, 2), "method": "sinkhorm"}, "did you mean 'sinkhorn'"),
        ({"x": torch.zeros(3, 2), "method": "sinkhorn"}, "needs epsilon"),
        ({"x": torch.zeros(3, 2), "method": "exact", "epsilon": 0.1}, "no effect"),
        ({"x": torch.zeros(3, 2), "epsilon": -1.0}, "positive"),
        ({"x": torch.zeros(3, 2), "tolerance": 1e-3}, "no effect"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(2, 2), "method": "assignment"}, "3 and 2 points"),
        ({"x": torch.zeros(2, 2), "a": torch.tensor([0.3, 0.7]), "method": "approximate"}, "unequal weights"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        solve(**arguments)
