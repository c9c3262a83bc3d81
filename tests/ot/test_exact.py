"""Exact plans against SciPy, POT, closed forms, and their own dual certificate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

import ot as pot
from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot import AtMost, solve
from pushforward.ot.exact import certificate, prices, transport
from pushforward.ot.exact.certificate import row_conjugate
from pushforward.ot.problem import pose


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


KINDS = ["gaussian", "line", "wide", "integers", "duplicates", "constant", "outlier", "separable", "far"]


def awkward(kind, n):
    g = torch.Generator().manual_seed(5)
    uniform = lambda *shape: torch.rand(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    if kind in ("gaussian", "line", "wide", "far"):
        d = {"line": 1, "wide": 60}.get(kind, 2)
        x, y = torch.randn(n, d, generator=g, dtype=torch.float64), 0.5 * torch.randn(n, d, generator=g).double()
        return (x[:, None] - y - (1000 if kind == "far" else 0)).square().sum(-1)
    if kind == "constant":
        return torch.ones(n, n, dtype=torch.float64)
    if kind == "separable":
        return uniform(n, 1) + uniform(n)
    cost = torch.randint(0, 4, (n, n), generator=g).double()
    if kind == "duplicates":
        cost = cost[torch.randint(0, 10, (n,), generator=g)]
    elif kind == "outlier":
        cost[7] += 1e6
    return cost


@pytest.mark.parametrize("kind", KINDS)
def test_degenerate_assignments_are_optimal(kind):
    cost = awkward(kind, 200)
    rows, columns = linear_sum_assignment(cost.numpy())
    assert float(solve(cost=cost).value) == pytest.approx(float(cost[rows, columns].mean()), rel=1e-12)


@pytest.mark.parametrize("cost", [None, PNorm(2)])
@pytest.mark.parametrize("assignment", [True, False])
def test_prices_from_a_part_of_the_points_and_lists_made_in_blocks(cost, assignment, monkeypatch):
    """What very large problems need; the costs are then never held whole."""
    x, y = cloud(200, 2, 0), cloud(200, 2, 1) + 3
    given = {} if cost is None else {"cost": cost}
    given |= {} if assignment else {"a": weights(200, 2), "b": weights(200, 3)}
    expected = solve(x, y, **given)
    for module, name, value in (
        (prices, "SMALL", 0), (prices, "LARGE", 64), (transport, "LONG", 2), (transport, "BLOCK", 1000),
        (certificate, "HELD", 0), (certificate, "BLOCK", 1000),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    plan = solve(x, y, **given)
    assert float(plan.value) == pytest.approx(float(expected.value), rel=1e-12)
    certified(plan, plan.problem.dense())


def test_more_entries_than_expected_find_room(monkeypatch):
    """Equal costs leave many optimal plans, some with cycles: entries are not bounded by the number of points."""
    original = transport.Flow.empty

    def cramped(a, b, price, dust):
        flow = original(a, b, price, dust)
        return flow._replace(
            **{name: getattr(flow, name)[: len(a) + 1] for name in ("following", "row", "mass", "cost")}
        )

    monkeypatch.setattr(transport.Flow, "empty", staticmethod(cramped))
    cost = awkward("integers", 60)
    plan = solve(cost=cost, a=weights(60, 1), b=weights(60, 2))
    expected = pot.emd2(weights(60, 1).numpy(), weights(60, 2).numpy(), cost.numpy())
    assert float(plan.value) == pytest.approx(float(expected), rel=1e-10)
    certified(plan, cost)


def test_large_assignment_in_float32_is_optimal_up_to_rounding():
    x, y = cloud(1300, 3, 0), cloud(1300, 3, 1) + 2
    single, double = solve(x.float(), y.float()), solve(x, y)
    assert abs(double.duality_gap) < 1e-12 and double.marginal_error == 0
    assert single.f.dtype == torch.float32 and abs(single.duality_gap) < 1e-5
    assert float(single.value) == pytest.approx(float(double.value), rel=1e-6)


@pytest.mark.parametrize("n", [1, 40, 150])
def test_many_assignments_are_those_of_each(n):
    x = torch.stack([cloud(n, 2, seed) for seed in range(3)])
    y = x.flip(0) + 1
    for k, plan in enumerate(solve(x, y).plans):
        assert torch.equal(plan.permutation, solve(x[k], y[k]).permutation)
        certified(plan, plan.problem.dense())


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


@settings(max_examples=150, deadline=None)
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


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10), st.integers(1, 10), st.integers(1, 3), st.integers(0, 10**6))
def test_programs_on_points_are_pots_and_symmetric(n, m, d, seed):
    x, y, a, b = cloud(n, d, seed), cloud(m, d, seed + 1), weights(n, seed, min(2, n - 1)), weights(m, seed + 2)
    plan, back = solve(x, y, a, b), solve(y, x, b, a)
    expected = pot.emd2(a.numpy(), b.numpy(), plan.problem.dense().numpy())
    assert float(plan.value) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(back.value) == pytest.approx(float(plan.value), rel=1e-9, abs=1e-12)
    certified(plan, plan.problem.dense())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 8), st.integers(0, 10**6))
def test_root_of_the_value_is_a_distance(n, m, k, seed):
    clouds = [(cloud(s, 2, seed + s), weights(s, seed + s)) for s in (n, m, k)]
    distance = lambda p, q: float(solve(p[0], q[0], p[1], q[1]).value.clamp(min=0).sqrt())  # noqa: E731
    p, q, r = clouds
    assert distance(p, r) <= distance(p, q) + distance(q, r) + 1e-9
    assert distance(p, p) < 1e-6


def extensions():
    x, y, a, b = cloud(60, 2, 0), cloud(45, 2, 1), weights(60, 2), weights(45, 3, 5)
    return {"assignment": solve(x, x.flip(1) + 1), "exact": solve(x, y, a, b), "partial": partial_plan(x, y)}


def partial_plan(x, y):
    return solve(x, y, marginals=AtMost(), mass=0.6)


@pytest.mark.parametrize("kind", ["assignment", "exact", "partial"])
def test_extended_potentials_are_the_plans_at_its_own_points(kind):
    plan = extensions()[kind]
    x, y = plan.problem.points()
    torch.testing.assert_close(plan.potential(x), plan.f, atol=1e-12, rtol=0)
    torch.testing.assert_close(plan.potential(y, "target"), plan.g, atol=1e-12, rtol=0)


def test_extended_map_is_the_gradient_of_the_extended_potential():
    """For |x - y|^2 the map is `z - grad f(z) / 2`; at the points of a permutation it is the permutation."""
    plan = extensions()["assignment"]
    x, y = plan.problem.points()
    z = cloud(30, 2, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(plan.potential(z).sum(), z)
    torch.testing.assert_close(plan.extended_map(z), z - gradient / 2)
    away = plan.extended_map(x)
    reached = plan.problem.cost.aligned(x, away) - plan.potential(away, "target")
    torch.testing.assert_close(reached, plan.f, atol=1e-12, rtol=0)  # ties: any optimal target
    with pytest.raises(InputError, match="cannot be extended"):
        solve(x, y, cost=plan.problem.dense()).potential(z)


def test_value_differentiates_in_points_and_weights():
    x, y, a, b = cloud(12, 2, 0), cloud(9, 2, 1), weights(12, 2), weights(9, 3)
    leaves = [t.clone().requires_grad_() for t in (x, y, a, b)]
    value = solve(*leaves).value
    gradients = torch.autograd.grad(value, leaves)
    for k, leaf in enumerate((x, y, a, b)):
        step = 1e-5 * torch.randn(leaf.shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        step = step - step.mean() if k > 1 else step
        moved = [[t + sign * step if i == k else t for i, t in enumerate((x, y, a, b))] for sign in (1, -1)]
        numeric = float(solve(*moved[0]).value - solve(*moved[1]).value) / 2
        assert float((gradients[k] * step).sum()) == pytest.approx(numeric, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("d", [2, 30])
def test_prices_are_nearly_optimal(d):
    problem = pose(cloud(300, d, 0), 3 * cloud(300, d, 1) + 100, None, None, SquaredEuclidean())
    g = prices.prices(problem)
    dual = row_conjugate(problem, g).mean() + g.mean()
    optimal = solve(*problem.points()).value
    assert 0 <= float(optimal - dual) < 0.03 * float(problem.dense().mean() - optimal)


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
        ({"x": torch.zeros(3, 2), "a": torch.tensor([0.2, 0.3, 0.5]), "max_iterations": 9}, "no effect"),
        ({"x": torch.zeros(3, 2), "y": torch.zeros(2, 2), "method": "assignment"}, "3 and 2 points"),
        ({"x": torch.zeros(2, 2), "a": torch.tensor([0.3, 0.7]), "method": "assignment"}, "unequal weights"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        solve(**arguments)
