"""Entropic plans whose sums may stray: closed forms, POT, and limits."""

import math

import pytest
import torch

import ot as pot
from pushforward.errors import InputError
from pushforward.ot import KL, AtMost, Exact, solve


def problem(n=30, m=25, seed=0):
    g = torch.Generator().manual_seed(seed)
    a, b = torch.rand(n, generator=g, dtype=torch.float64), torch.rand(m, generator=g, dtype=torch.float64)
    cost = torch.rand(n, m, generator=g, dtype=torch.float64)
    return cost, a, 0.7 * b


@pytest.mark.parametrize("rho, epsilon", [(0.3, 0.05), (5.0, 0.1), (100.0, 0.5)])
def test_two_diracs_move_the_closed_mass(rho, epsilon):
    """m = exp((rho log(m_a m_b) + epsilon log(m_a m_b) - c) / (2 rho + epsilon)); tends to the geometric mean."""
    a, b, c = 0.4, 1.7, 0.6
    one = torch.tensor([[c]], dtype=torch.float64)
    plan = solve(cost=one, a=[a], b=[b], epsilon=epsilon, marginals=KL(rho), tolerance=1e-12)
    expected = math.exp(((rho + epsilon) * math.log(a * b) - c) / (2 * rho + epsilon))
    assert float(plan.to_dense()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rho", [0.05, 1.0, 50.0])
def test_unbalanced_is_pots(rho):
    cost, a, b = problem()
    plan = solve(cost=cost, a=a, b=b, epsilon=0.05, marginals=KL(rho), tolerance=1e-10)
    theirs = pot.sinkhorn_unbalanced(
        a.numpy(),
        b.numpy(),
        cost.numpy(),
        0.05,
        rho,
        "sinkhorn_stabilized",
        reg_type="kl",
        numItermax=200_000,
        stopThr=1e-13,
    )
    torch.testing.assert_close(plan.to_dense(), torch.from_numpy(theirs), atol=1e-7, rtol=1e-5)
    assert plan.marginal_error < 1e-9 and abs(plan.duality_gap) < 1e-8


def test_semi_relaxed_keeps_one_side_and_is_the_least():
    cost, a, b = problem()
    a = a / a.sum()
    plan = solve(cost=cost, a=a, b=b, epsilon=0.05, marginals=(Exact(), KL(0.2)), tolerance=1e-10)
    rows, columns = plan.marginals()
    torch.testing.assert_close(rows, a, atol=1e-9, rtol=0)
    assert (columns - b).abs().max() > 1e-3 and plan.marginal_error < 1e-9 and abs(plan.duality_gap) < 1e-8
    P = plan.to_dense()
    for seed in range(5):  # moving mass within a row never helps
        g = torch.Generator().manual_seed(seed)
        move = torch.randn(P.shape, generator=g, dtype=torch.float64) * P
        other = P + 1e-3 * (move - P * (move.sum(1) / P.sum(1))[:, None])
        assert _objective(other, cost, a, b, 0.05, 0.2) > _objective(P, cost, a, b, 0.05, 0.2)
    assert _objective(P, cost, a, b, 0.05, 0.2) == pytest.approx(float(plan.objective), abs=1e-9)


def _objective(P, cost, a, b, epsilon, rho):
    kl = lambda p, q: (torch.special.xlogy(p, p / q) - p + q).sum()  # noqa: E731
    return float((P * cost).sum() + epsilon * kl(P, a[:, None] * b) + rho * kl(P.sum(0), b))


def test_infinite_price_is_exact():
    cost, a, b = problem()
    a, b = a / a.sum(), b / b.sum()
    exact = solve(cost=cost, a=a, b=b, epsilon=0.05, tolerance=1e-10)
    dear = solve(cost=cost, a=a, b=b, epsilon=0.05, marginals=KL(1e7), tolerance=1e-10)
    per_point = solve(cost=cost, a=a, b=b, epsilon=0.05, marginals=KL(torch.full((1,), torch.inf)), tolerance=1e-8)
    torch.testing.assert_close(dear.to_dense(), exact.to_dense(), atol=1e-7, rtol=0)
    torch.testing.assert_close(per_point.to_dense(), exact.to_dense(), atol=1e-7, rtol=0)


@pytest.mark.parametrize("mass", [0.3, 0.8])
def test_partial_is_pots(mass):
    cost, _, _ = problem()
    plan = solve(cost=cost, epsilon=0.05, marginals=AtMost(), mass=mass, tolerance=1e-10)
    n, m = cost.shape
    theirs = pot.partial.entropic_partial_wasserstein(
        torch.full((n,), 1 / n).double().numpy(), torch.full((m,), 1 / m).double().numpy(), cost.numpy(), 0.05, mass,
        numItermax=20_000, stopThr=1e-16,
    )  # fmt: skip
    torch.testing.assert_close(plan.to_dense(), torch.from_numpy(theirs), atol=1e-7, rtol=0)
    assert float(plan.to_dense().sum()) == pytest.approx(mass, abs=1e-9) and plan.marginal_error < 1e-9


def test_partial_of_all_the_mass_is_balanced():
    cost, a, b = problem()
    a, b = a / a.sum(), b / b.sum()
    whole = solve(cost=cost, a=a, b=b, epsilon=0.05, marginals=AtMost(), mass=1.0, tolerance=1e-9)
    exact = solve(cost=cost, a=a, b=b, epsilon=0.05, tolerance=1e-10)
    torch.testing.assert_close(whole.to_dense(), exact.to_dense(), atol=1e-7, rtol=0)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"marginals": AtMost()}, "go together"),
        ({"mass": 0.5}, "go together"),
        ({"marginals": AtMost(), "mass": 1.5}, "mass must lie between 0 and 1"),
        ({"marginals": KL(1.0), "epsilon": None}, "needs epsilon"),
        ({"marginals": KL(1.0), "method": "newton"}, "one balanced problem"),
    ],
)
def test_impossible_rules(options, words):
    with pytest.raises(InputError, match=words):
        solve(cost=torch.rand(4, 5), **({"epsilon": 0.1} | options))


def test_weights_that_do_not_sum_to_one_need_a_rule():
    cost, a, b = problem()
    with pytest.raises(InputError, match="sums to"):
        solve(cost=cost, a=a, b=b, epsilon=0.1)
