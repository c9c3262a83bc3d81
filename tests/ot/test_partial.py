"""Exact partial plans against the inequality program, and their certificate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import ot as pot
from pushforward.errors import InputError
from pushforward.ot import AtMost, Exact, solve


def program(cost, a, b, mass, source_whole=False, target_whole=False):
    """Return the least cost over `P 1 <= a`, `P^T 1 <= b` (equal where whole), `sum P = mass`, by a general solver."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    upper = [(rows, a)] * (not source_whole) + [(columns, b)] * (not target_whole)
    equal = [(rows, a)] * source_whole + [(columns, b)] * target_whole + [(np.ones((1, n * m)), [mass])]
    found = linprog(
        cost.ravel(),
        A_ub=np.concatenate([u for u, _ in upper]) if upper else None,
        b_ub=np.concatenate([w for _, w in upper]) if upper else None,
        A_eq=np.concatenate([e for e, _ in equal]),
        b_eq=np.concatenate([w for _, w in equal]),
    )
    assert found.success
    return found.fun


def drawn(n, m, seed):
    """Return a cost with ties and negative entries, and weights with zeros, of unequal totals."""
    rng = np.random.default_rng(seed)
    cost = rng.integers(-2, 4, (n, m)).astype(float) if seed % 2 else rng.normal(size=(n, m))
    a, b = (rng.integers(0, 3, k) * rng.random(k) + (np.arange(k) == 0) * rng.random() for k in (n, m))
    return cost, a, b


def certified(plan, cost, a, b, mass):
    rows, columns = plan.marginals()
    assert float(rows.sum()) == pytest.approx(mass, rel=1e-9)
    assert (rows - a).max() < 1e-12 and (columns - b).max() < 1e-12 and plan.marginal_error < 1e-9
    assert (plan.f[:, None] + plan.g - cost).max() < 1e-8
    assert abs(plan.duality_gap) < 1e-8
    assert float(a @ plan.f) == pytest.approx(float(b @ plan.g), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6), st.floats(0.05, 1.0))
def test_partial_is_the_inequality_program(n, m, seed, fraction):
    cost, a, b = drawn(n, m, seed)
    mass = float(fraction * min(a.sum(), b.sum()))
    tensors = [torch.from_numpy(t) for t in (cost, a, b)]
    plan = solve(cost=tensors[0], a=tensors[1], b=tensors[2], marginals=AtMost(), mass=mass)
    assert float(plan.value) == pytest.approx(program(cost, a, b, mass), abs=1e-8)
    certified(plan, *tensors, mass)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 10**6), st.booleans())
def test_one_side_whole(n, m, seed, source):
    """All of one side is moved, to where the other side has room."""
    cost, a, b = drawn(n, m, seed)
    a, b = (a, b * 1.5 * a.sum() / b.sum()) if source else (a * 1.5 * b.sum() / a.sum(), b)
    mass = float(a.sum() if source else b.sum())
    rules = (Exact(), AtMost()) if source else (AtMost(), Exact())
    tensors = [torch.from_numpy(t) for t in (cost, a, b)]
    plan = solve(cost=tensors[0], a=tensors[1], b=tensors[2], marginals=rules, mass=mass)
    expected = program(cost, a, b, mass, source, not source)
    assert float(plan.value) == pytest.approx(expected, abs=1e-8)
    certified(plan, *tensors, mass)


@pytest.mark.parametrize("mass", [0.2, 0.7])
def test_partial_is_pots(mass):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(40, 2, generator=g, dtype=torch.float64), torch.randn(30, 2, generator=g, dtype=torch.float64)
    plan = solve(x, y, marginals=AtMost(), mass=mass)
    cost = plan.problem.dense()
    theirs = pot.partial.partial_wasserstein(plan.problem.a.numpy(), plan.problem.b.numpy(), cost.numpy(), m=mass)
    assert float(plan.value) == pytest.approx(float((theirs * cost.numpy()).sum()), rel=1e-8)
    assert plan.method == "partial" and plan.converged


def test_outliers_stay_where_they_are():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(20, 2, generator=g, dtype=torch.float64)
    far = torch.cat([x, torch.full((5, 2), 50.0, dtype=torch.float64)])
    plan = solve(far, x + 0.1, marginals=AtMost(), mass=0.8)
    rows, _ = plan.marginals()
    torch.testing.assert_close(rows[:20], torch.full((20,), 0.04, dtype=torch.float64), atol=1e-12, rtol=0)
    assert rows[20:].abs().max() < 1e-12


def test_all_the_mass_is_the_balanced_plan():
    g = torch.Generator().manual_seed(1)
    x, y = torch.randn(15, 2, generator=g, dtype=torch.float64), torch.randn(11, 2, generator=g, dtype=torch.float64)
    whole, balanced = solve(x, y, marginals=AtMost(), mass=1.0), solve(x, y)
    assert float(whole.value) == pytest.approx(float(balanced.value), rel=1e-9)


def test_a_whole_side_has_to_have_the_mass():
    with pytest.raises(InputError, match="source side must be moved whole"):
        solve(torch.zeros(3, 2), torch.ones(4, 2), marginals=(Exact(), AtMost()), mass=0.5)
