"""Quadratic and k-sparse plans against closed forms, their optimality conditions, brute force and POT."""

import warnings
from itertools import combinations, pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import ot as pot
from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry.simplex import project_simplex
from pushforward.ot import solve
from pushforward.ot.marginals import KL, Exact
from pushforward.ot.problem import pose
from pushforward.ot.regularization import KSparse, Quadratic
from pushforward.ot.regularized.dual import FullDual, SemiDual
from pushforward.ot.regularized.plan import RegularizedPlan
from pushforward.ot.regularized.repair import repair
from pushforward.ot.regularized.solve import regularized_transport

pytestmark = pytest.mark.filterwarnings("ignore:scipy.optimize. The `disp`:DeprecationWarning")  # POT asks for it


def cloud(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(n, seed):
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(5 * np.ones(n)))


def noisy_line(seed, n=20):
    """The spec's small problem: costs of sorted points on a line, with noise; Dirichlet weights."""
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.normal(size=n)), np.sort(rng.normal(size=n))
    cost = torch.from_numpy((x[:, None] - y + 0.3 * rng.normal(size=(n, n))) ** 2)
    return cost, torch.from_numpy(rng.dirichlet(5 * np.ones(n))), torch.from_numpy(rng.dirichlet(5 * np.ones(n)))


def transport(penalty, cost, a=None, b=None, x=None, y=None, tolerance=1e-9, max_iterations=5000, quiet=False):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if quiet else "error")
        return regularized_transport(pose(x, y, a, b, cost), penalty, tolerance, max_iterations)


def optimal(plan):
    """What makes a quadratic plan the only optimum: right sums, and P the gradient of the conjugate."""
    scores = plan.f[:, None] + plan.g - plan.problem.dense()
    torch.testing.assert_close(plan.to_dense(), scores.clamp(min=0) / plan.penalty.gamma, atol=1e-9, rtol=0)
    assert plan.converged and plan.marginal_error < 1e-8
    assert abs(plan.duality_gap) <= plan.marginal_error * float(torch.cat([plan.f, plan.g]).abs().max()) + 1e-12


@pytest.mark.parametrize("k", [1, 3, 30])
@pytest.mark.parametrize("step", [1e-3, 0.1, 3.0])
def test_few_entries_give_the_whole_dual_wherever_it_is_asked(k, step):
    """A random walk of potentials, short steps and long, and many visits: value and gradient as of the whole matrix."""
    generator = torch.Generator().manual_seed(0)
    cost, a, b = torch.rand(25, 20, generator=generator).double(), weights(25, 0), weights(20, 1)
    semi, full = SemiDual(cost, a, b, 2.0, k), FullDual(cost, a, b, 2.0, k)
    f, g = torch.zeros(25, dtype=torch.float64), torch.zeros(20, dtype=torch.float64)
    for _ in range(40):
        f = f + step * torch.randn(25, generator=generator, dtype=torch.float64)
        g = g + step * torch.randn(20, generator=generator, dtype=torch.float64)
        plan = project_simplex(f[:, None] - cost, 2.0 * b, k, 0) / 2
        value = a @ f - ((f[:, None] - cost) * plan - plan.square()).sum()
        found = [semi(f) for _ in range(5)][-1]
        torch.testing.assert_close(found.value, value)
        torch.testing.assert_close(found.gradient, a - plan.sum(1))
        scores = (f[:, None] + g - cost).clamp(min=0)
        top = torch.where(scores >= scores.topk(min(k, 25), 0).values[-1], scores, 0)
        found = full(torch.cat([f, g]))
        torch.testing.assert_close(found.value, a @ f + b @ g - top.square().sum() / 4)
        torch.testing.assert_close(found.gradient, torch.cat([a - top.sum(1) / 2, b - top.sum(0) / 2]))


@pytest.mark.parametrize("gamma", [0.1, 1.0, 10.0])
def test_two_by_two_has_a_closed_form(gamma):
    """Staying costs nothing, crossing c = 1: half the mass stays at p = 1/4 + c / (2 gamma), at most all of it."""
    plan = transport(Quadratic(gamma), torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    p = min(0.5, 0.25 + 0.5 / gamma)
    expected = torch.tensor([[p, 0.5 - p], [0.5 - p, p]], dtype=torch.float64)
    torch.testing.assert_close(plan.to_dense(), expected, atol=1e-12, rtol=0)
    assert float(plan.objective) == pytest.approx(1 - 2 * p + gamma * (p * p + (0.5 - p) ** 2))


def test_a_large_penalty_gives_the_flattest_plan():
    """Without a cost the least sum of squares is `a_i / m + b_j / n - 1 / nm`, where that is not negative."""
    n, m = 12, 9
    a = (torch.full((n,), 1 / n, dtype=torch.float64) + weights(n, 0)) / 2
    b = (torch.full((m,), 1 / m, dtype=torch.float64) + weights(m, 1)) / 2
    plan = transport(Quadratic(1e9), torch.rand(n, m, dtype=torch.float64), a, b)
    flat = a[:, None] / m + b / n - 1 / (n * m)
    assert (flat > 0).all()
    torch.testing.assert_close(plan.to_dense(), flat, atol=1e-8, rtol=0)


@pytest.mark.parametrize("n, m, d, relative", [(40, 30, 2, 1.0), (30, 60, 3, 0.01), (50, 50, 1, 0.001), (1, 7, 2, 1.0)])
def test_quadratic_plans_are_optimal(n, m, d, relative):
    x, y = cloud(n, d, 0), cloud(m, d, 1) + 1
    cost = torch.cdist(x, y).square()
    optimal(transport(Quadratic(relative * float(cost.mean()) * n), cost, weights(n, 2), weights(m, 3)))


@settings(max_examples=20, deadline=None)
@example(3, 7, 0.06, 2137)  # the last rung of the ladder missed gamma by rounding, and stopped at its coarse error
@given(st.integers(1, 8), st.integers(1, 8), st.floats(0.01, 100), st.integers(0, 10**6))
def test_small_and_degenerate_problems_are_optimal(n, m, gamma, seed):
    """Integers everywhere: ties, zero costs, constant costs."""
    rng = np.random.default_rng(seed)
    cost = torch.from_numpy(rng.integers(0, 3, (n, m)).astype(float))
    a, b = (torch.from_numpy(rng.integers(1, 4, k) / 1.0) for k in (n, m))
    optimal(transport(Quadratic(gamma), cost, a / a.sum(), b / b.sum(), tolerance=1e-8))


def test_quadratic_plan_is_pots_but_closer():
    cost, a, b = noisy_line(0)
    plan = transport(Quadratic(0.5), cost, a, b)
    for smooth in (pot.smooth.smooth_ot_dual, pot.smooth.smooth_ot_semi_dual):
        theirs = torch.from_numpy(smooth(a.numpy(), b.numpy(), cost.numpy(), 0.5, stopThr=1e-13, numItermax=5000))
        torch.testing.assert_close(plan.to_dense(), theirs, atol=1e-5, rtol=0)
        assert plan.marginal_error < float((theirs.sum(1) - a).abs().sum())


def test_a_small_penalty_gives_the_exact_cost_from_above():
    cost, a, b = noisy_line(1)
    exact = pot.emd2(a.numpy(), b.numpy(), cost.numpy())
    costs = [float(transport(Quadratic(gamma), cost, a, b).value) for gamma in (10.0, 1.0, 0.1, 1e-3)]
    assert all(left >= right - 1e-9 for left, right in pairwise(costs))
    assert costs[-1] >= exact - 1e-9 and costs[-1] == pytest.approx(exact, abs=1e-6)


def test_the_slope_of_the_optimum_in_the_costs_is_the_plan_and_in_the_weights_the_potential():
    cost, a, b = noisy_line(2, 6)
    grown, mass = cost.clone().requires_grad_(), a.clone().requires_grad_()
    plan, step = regularized_transport(pose(None, None, mass, b, grown), Quadratic(0.5), 1e-9, 1000), 1e-5
    plan.objective.backward()
    torch.testing.assert_close(grown.grad, plan.to_dense().detach())

    def optimum(cost, a):
        return transport(Quadratic(0.5), cost, a, b).dual_value

    for i, j in [(0, 0), (2, 1), (3, 4)]:
        bump, move = torch.zeros_like(cost), torch.zeros_like(a)
        bump[i, j], move[i], move[j] = step, step, -step
        slope = (optimum(cost + bump, a) - optimum(cost - bump, a)) / (2 * step)
        assert slope == pytest.approx(float(grown.grad[i, j]), abs=1e-5)
        slope = (optimum(cost, a + move) - optimum(cost, a - move)) / (2 * step)
        assert slope == pytest.approx(float(mass.grad @ move) / step, abs=1e-4)


def test_ties_are_broken_for_the_rows():
    """Whatever support a kink leaves behind, a swap of near ties cannot bring the rows nearer to their weights."""
    for seed in range(3):
        cost, a, b = noisy_line(seed)
        plan = transport(KSparse(2, 0.1), cost, a, b, quiet=True)
        scores = plan.f[:, None] + plan.g - cost
        torch.testing.assert_close(plan.mass, scores[plan.i, plan.j] / 0.1, atol=1e-9, rtol=0)
        assert plan.row_residual < 0.2


@pytest.mark.parametrize("dual", ["semi", "full"])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_most_k_sources_for_each_target(seed, dual):
    """Counts always; the dual value falls as k grows, from above the exact cost down to the quadratic optimum."""
    cost, a, b = noisy_line(seed)
    free = transport(Quadratic(0.1), cost, a, b)
    exact = pot.emd2(a.numpy(), b.numpy(), cost.numpy())
    values = []
    for k in (1, 2, 3, 5, 10, 20):
        plan = transport(KSparse(k, 0.1, dual), cost, a, b, quiet=True)
        assert int((plan.to_dense() > 0).sum(0).max()) <= k
        torch.testing.assert_close(plan.to_dense().sum(0), b, atol=1e-12, rtol=0)
        assert plan.row_residual < {1: 0.6, 2: 0.2, 3: 0.1}.get(k, 1e-8)
        values.append(plan.dual_value)
        if k >= 5:
            torch.testing.assert_close(plan.to_dense(), free.to_dense(), atol=1e-6, rtol=0)
            assert plan.converged and plan.dual_value == pytest.approx(float(free.objective), abs=1e-9)
            other = FullDual(cost, a, b, 0.1, k)(torch.cat([plan.f, plan.g]))
            assert float(other.value) == pytest.approx(plan.dual_value, abs=1e-9)
    assert values[-1] >= exact and all(p >= q - 1e-6 for p, q in pairwise(values))


def test_k_sparse_dual_is_above_pots():
    """Both climb the same concave function, theirs from zero: whoever is higher is nearer."""
    cost, a, b = noisy_line(0)
    for k in (1, 2, 3, 5):
        ours = transport(KSparse(k, 0.1), cost, a, b, quiet=True).dual_value
        _, log = pot.smooth.smooth_ot_semi_dual(
            a.numpy(), b.numpy(), cost.numpy(), 0.1, "sparsity_constrained", k, stopThr=1e-9, log=True
        )  # fmt: skip
        assert ours >= -float(log["res"].fun) - 1e-10


def test_one_source_for_each_target_is_nearly_the_exact_dual():
    """With k = 1 the semi-dual is the exact one plus `gamma / 2 sum b^2`."""
    for seed in (0, 1):
        cost, a, b = noisy_line(seed)
        plan = transport(KSparse(1, 0.1), cost, a, b, quiet=True)
        bound = pot.emd2(a.numpy(), b.numpy(), cost.numpy()) + 0.05 * float(b.square().sum())
        assert plan.dual_value == pytest.approx(bound, rel=1e-3) and plan.dual_value <= bound + 1e-9
        torch.testing.assert_close(plan.mass.sort().values, b.sort().values)


def primal_by_brute_force(cost, a, b, gamma, k, weight=1e4):
    """Minimise over every choice of k sources for every column: a non-negative least-squares problem each."""
    n, m = cost.shape
    best, sums = np.inf, np.concatenate([a.numpy(), b.numpy()])
    for supports in product(combinations(range(n), k), repeat=m):
        i, j, each = np.concatenate(supports), np.repeat(np.arange(m), k), np.arange(m * k)
        c, A = cost.numpy()[i, j], np.zeros((n + m, m * k))
        A[i, each] = A[n + j, each] = 1
        p, _ = nnls(np.vstack([weight * A, np.sqrt(gamma) * np.eye(m * k)]), np.append(weight * sums, -c / gamma**0.5))
        if np.abs(A @ p - sums).max() < 1e-6:
            best = min(best, c @ p + gamma / 2 * p @ p)
    return best


@pytest.mark.parametrize("seed", range(4))
def test_tiny_problems_against_brute_force(seed):
    """No feasible k-sparse plan is cheaper than the dual; a plan that meets its sums is the best there is."""
    rng = np.random.default_rng(seed)
    cost, a, b = torch.from_numpy(rng.random((3, 3))), weights(3, seed), weights(3, seed + 10)
    best = primal_by_brute_force(cost, a, b, 1.0, 2)
    plan = transport(KSparse(2, 1.0), cost, a, b, quiet=True)
    assert plan.dual_value <= best + 1e-6
    if plan.converged:
        assert float(plan.objective) == pytest.approx(best, abs=1e-6)


def test_repair_meets_the_sums_on_the_ties():
    cost, a, b = noisy_line(0)
    exact = pot.emd2(a.numpy(), b.numpy(), cost.numpy())
    for k in (1, 2, 3):
        plan = transport(KSparse(k, 0.1), cost, a, b, quiet=True)
        whole = repair(plan)
        assert plan.row_residual > 1e-3 and whole.marginal_error < 1e-12
        assert len(whole.mass) <= 39 and exact - 1e-9 <= float(whole.value) <= exact + 0.02


def test_points_without_mass_take_no_part():
    x, y = cloud(20, 2, 0), cloud(15, 2, 1)
    a, b = weights(20, 2), weights(15, 3)
    a[:4], b[10:] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    cost = torch.cdist(x, y).square()
    for penalty in (Quadratic(5.0), KSparse(6, 5.0)):
        plan, part = transport(penalty, cost, a, b), transport(penalty, cost[4:, :10], a[4:], b[:10])
        torch.testing.assert_close(plan.to_dense()[4:, :10], part.to_dense(), atol=1e-10, rtol=0)
        assert plan.to_dense()[:4].sum() == 0 and plan.to_dense()[:, 10:].sum() == 0
        scores = plan.f[:, None] + plan.g - cost
        assert scores[:4, :10].max() < 1e-12 and scores[:, 10:].max() < 1e-12


def test_points_in_float32_are_solved_in_float64_and_returned_as_given():
    x, y = cloud(30, 2, 0), cloud(20, 2, 1)
    cost = torch.cdist(x, y).square()
    plan = regularized_transport(pose(x.float(), y.float(), None, None, cost.float()), Quadratic(20.0), 1e-9, 1000)
    assert plan.converged and plan.f.dtype == plan.mass.dtype == plan.value.dtype == torch.float32
    torch.testing.assert_close(plan.to_dense().double(), transport(Quadratic(20.0), cost).to_dense(), atol=1e-6, rtol=0)


def test_potentials_extend_to_new_points():
    from pushforward.geometry import SquaredEuclidean

    x, y = cloud(40, 2, 0), cloud(30, 2, 1) + 1
    plan = transport(Quadratic(20.0), SquaredEuclidean(), x=x, y=y)
    torch.testing.assert_close(plan.potential(x), plan.f, atol=1e-8, rtol=0)
    torch.testing.assert_close(plan.potential(y, "target"), plan.g, atol=1e-8, rtol=0)
    torch.testing.assert_close(plan.extended_map(x), plan.barycentric_map(), atol=1e-7, rtol=0)
    z = cloud(5, 2, 2)
    row = (plan.potential(z)[:, None] + plan.g - SquaredEuclidean().pairwise(z, y)).clamp(min=0) / 20
    torch.testing.assert_close(row.sum(1), torch.full((5,), 1 / 40, dtype=torch.float64))
    sparse = transport(KSparse(12, 20.0), SquaredEuclidean(), x=x, y=y)
    torch.testing.assert_close(sparse.potential(y, "target"), sparse.g, atol=1e-8, rtol=0)
    with pytest.raises(InputError, match="cannot be extended"):
        transport(Quadratic(20.0), SquaredEuclidean().pairwise(x, y), x=x, y=y).potential(z)


def test_draws_follow_the_plan():
    cost, a, b = noisy_line(0, 6)
    plan, generator = transport(Quadratic(1.0), cost, a, b), torch.Generator().manual_seed(0)
    i, j = plan.sample_pairs(40_000, generator=generator)
    found = torch.zeros(6, 6, dtype=torch.float64).index_put_((i, j), torch.ones(40_000).double(), accumulate=True)
    assert (found / 40_000 - plan.to_dense()).abs().max() < 0.01
    drawn = torch.stack([plan.sample_sources(generator=generator) for _ in range(500)])
    assert (plan.to_dense()[drawn, torch.arange(6)] > 0).all()


def test_what_cannot_be_met_is_said_with_figures():
    cost, a, b = noisy_line(0)
    with pytest.warns(ConvergenceWarning, match=r"quadratic plan stopped after .* wanted 1.00e-09: raise max_iter"):
        plan = regularized_transport(pose(None, None, a, b, cost), Quadratic(0.1), 1e-9, 3)
    assert not plan.converged
    with pytest.warns(ConvergenceWarning, match=r"k-sparse plan .* wanted 1.00e-06: allow more non-zeros, or repair"):
        plan = regularized_transport(pose(None, None, a, b, cost), KSparse(1, 0.1), 1e-6, 1000)
    assert not plan.converged and plan.row_residual == pytest.approx(plan.marginal_error, abs=1e-9)


@pytest.mark.parametrize("cost, marginals", [(torch.rand(3, 3), (KL(1.0), Exact())), (torch.rand(2, 3, 3), None)])
def test_other_problems_are_refused(cost, marginals):
    problem = pose(None, None, None, None, cost, *([marginals] if marginals else []))
    with pytest.raises(InputError, match="exact marginals and one problem"):
        regularized_transport(problem, Quadratic(1.0), 1e-6, 100)


def test_solve_takes_the_penalties():
    x, y = cloud(12, 2, 0), cloud(9, 2, 1)
    plan = solve(x, y, regularization=Quadratic(5.0))
    assert isinstance(plan, RegularizedPlan) and plan.method == "quadratic" and plan.marginal_error < 1e-6
    many = solve(torch.stack([x, x + 1]), torch.stack([y, y]), regularization=KSparse(9, 5.0))
    torch.testing.assert_close(many.value[0], plan.value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("penalty", [Quadratic(5.0), KSparse(6, 5.0)])
def test_objectives_of_solve_differentiate(penalty):
    """Finite differences of the optimum in points, costs and weights, of one problem and of many."""
    x, y, a, b = cloud(8, 2, 0), cloud(6, 2, 1), weights(8, 2), weights(6, 3)

    def of(x, y, a, b, **more):
        a, b = (w / w.sum(-1, keepdim=True) for w in (a, b))
        return solve(x, y, a, b, regularization=penalty, tolerance=1e-10, **more).objective

    def check(function, *inputs):
        inputs = [t.clone().requires_grad_() for t in inputs]
        assert torch.autograd.gradcheck(function, inputs, eps=1e-5, atol=1e-5, fast_mode=True)

    check(of, x, y, a, b)
    check(lambda cost, a: of(None, None, a, b, cost=cost), torch.cdist(x, y).square(), a)
    check(lambda x, b: of(x, torch.stack([y, y]), a, b), torch.stack([x, x + 0.3]), torch.stack([b, b.flip(0)]))


def test_only_the_objective_follows_the_points():
    """The plan changes with the points: what holds it fixed would have another derivative."""
    x, y = cloud(8, 2, 0).requires_grad_(), cloud(6, 2, 1).requires_grad_()
    with pytest.warns(ConvergenceWarning):
        plan = solve(x, y, regularization=KSparse(2, 5.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert plan.objective.requires_grad and plan.duality_gap < 1 and plan.row_residual < 1
        z = x.detach()
        held = (plan.value, plan.f, plan.barycentric_map(), plan.potential(z), plan.extended_map(z), plan.to_dense())
        assert not any(t.requires_grad for t in held)
        assert repair(plan).marginal_error < 1e-12
