"""Transport on the line against POT, the linear program and its own certificate."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ot as pot
from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot.exact.one_dimensional import monotone, wasserstein_1d
from pushforward.ot.marginals import AtMost
from pushforward.ot.problem import pose

F64 = torch.float64
CONVEX = [SquaredEuclidean(), PNorm(1), PNorm(2, 3)]


def cloud(n, seed, zeros=False):
    g = torch.Generator().manual_seed(seed)
    x, w = torch.randn(n, generator=g, dtype=F64), torch.rand(n, generator=g, dtype=F64)
    if zeros:
        w[::3] = 0
        w[1 % n] += 1
    return x, w / w.sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 15), st.integers(1, 15), st.sampled_from([1, 1.5, 2, 3]), st.booleans())
def test_cost_is_the_linear_programs(n, m, p, zeros):
    (x, a), (y, b) = cloud(n, n + 20 * m, zeros), cloud(m, 7 * n + m, zeros)
    cost = (x[:, None] - y).abs().pow(p)
    theirs = pot.emd2(a.numpy(), b.numpy(), cost.numpy())
    assert wasserstein_1d(x, y, a, b, p).item() == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    uniform = pot.emd2([], [], cost.numpy())
    assert wasserstein_1d(x, y, p=p).item() == pytest.approx(uniform, rel=1e-9, abs=1e-12)
    mixed = pot.emd2_1d(x.numpy(), y.numpy(), None, b.numpy(), metric="minkowski", p=p)
    assert wasserstein_1d(x, y, b=b, p=p).item() == pytest.approx(mixed, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("m", [30, 21])
@pytest.mark.parametrize("weighted", [False, True])
def test_columns_are_independent_problems(m, weighted):
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 4, generator=g, dtype=F64), torch.randn(m, 4, generator=g, dtype=F64)
    a, b = (cloud(30, 1)[1], cloud(m, 2)[1]) if weighted else (None, None)
    single = torch.stack([wasserstein_1d(x[:, k], y[:, k], a, b) for k in range(4)])
    torch.testing.assert_close(wasserstein_1d(x, y, a, b), single, atol=1e-14, rtol=0)


def test_equal_weights_that_are_given_change_nothing():
    x, y = cloud(40, 0)[0], cloud(40, 1)[0]
    w = torch.full((40,), 1 / 40, dtype=F64)
    assert wasserstein_1d(x, y, w, w).item() == pytest.approx(wasserstein_1d(x, y).item(), abs=1e-14)


@pytest.mark.parametrize("p", [1, 1.5, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("m", [6, 9])
def test_gradients(p, weighted, m):
    (x, a), (y, b) = cloud(6, 3), cloud(m, 4)
    inputs = [t.clone().requires_grad_() for t in (x, y)]
    a, b = (a, b) if weighted else (None, None)
    assert torch.autograd.gradcheck(lambda x, y: wasserstein_1d(x, y, a, b, p), inputs)


def test_gradient_in_the_weights_is_the_potential():
    (x, a), (y, b) = cloud(8, 5), cloud(6, 6)
    a.requires_grad_()
    (slope,) = torch.autograd.grad(wasserstein_1d(x, y, a, b), a)
    f = monotone(pose(x[:, None], y[:, None], a, b, SquaredEuclidean())).f
    torch.testing.assert_close(slope - slope.mean(), f - f.mean(), atol=1e-12, rtol=0)


def test_dtype_is_kept_and_far_points_stay_exact():
    x, y = cloud(50, 0)[0].float() + 1000, cloud(70, 1)[0].float() + 1000
    cost = wasserstein_1d(x, y)
    assert cost.dtype == torch.float32
    assert cost.item() == pytest.approx(wasserstein_1d(x.double(), y.double()).item(), rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 15), st.integers(1, 15), st.sampled_from([SquaredEuclidean(), PNorm(1), PNorm(2, 3)]), st.booleans()
)
def test_monotone_plan_is_optimal_and_certified(n, m, cost, zeros):
    (x, a), (y, b) = cloud(n, n + 20 * m, zeros), cloud(m, 7 * n + m, zeros)
    problem = pose(x[:, None], y[:, None], a, b, cost)
    plan = monotone(problem)
    theirs = pot.emd2(a.numpy(), b.numpy(), problem.dense().numpy())
    assert plan.value.item() == pytest.approx(theirs, rel=1e-9, abs=1e-12)
    assert plan.marginal_error < 1e-14 and abs(plan.duality_gap) < 1e-12
    assert len(plan.mass) <= n + m - 1 and bool((plan.mass > 0).all())
    # the potential handed over is feasible as it is: nothing is left to tighten
    f = (problem.dense() - plan.dual).amin(1)
    assert (a @ f + b @ plan.dual).item() == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_monotone_plan_of_equal_weights_is_the_sorting_permutation():
    x, y = cloud(200, 0)[0], cloud(200, 1)[0]
    plan = monotone(pose(x[:, None], y[:, None], None, None, SquaredEuclidean()))
    expected = torch.empty(200, dtype=torch.long).scatter_(0, x.argsort(), y.argsort())
    assert torch.equal(plan.permutation, expected)
    assert plan.value.item() == pytest.approx(wasserstein_1d(x, y).item(), rel=1e-12)


def test_ties_of_points_and_of_levels():
    x, y = torch.tensor([[1.0], [0.0], [1.0], [0.0]], dtype=F64), torch.tensor([[2.0], [2.0], [0.0]], dtype=F64)
    a, b = torch.tensor([0.25, 0.25, 0.25, 0.25], dtype=F64), torch.tensor([0.25, 0.25, 0.5], dtype=F64)
    plan = monotone(pose(x, y, a, b, SquaredEuclidean()))
    assert plan.value.item() == pytest.approx(0.5, abs=1e-15) and abs(plan.duality_gap) < 1e-14
    assert wasserstein_1d(x[:, 0], y[:, 0], a, b).item() == pytest.approx(0.5, abs=1e-15)


def test_refusals():
    x = torch.zeros(3, 2)
    with pytest.raises(InputError, match="p must be finite and at least 1"):
        wasserstein_1d(x, x, p=0.5)
    with pytest.raises(InputError, match=r"wanted \(n,\)"):
        wasserstein_1d(x[None], x[None])
    with pytest.raises(InputError, match="both must agree"):
        wasserstein_1d(x, x[:, 0])
    with pytest.raises(InputError, match="sums to"):
        wasserstein_1d(x, x, torch.ones(3))
    with pytest.raises(InputError, match="on the line"):
        monotone(pose(x, x, None, None, SquaredEuclidean()))
    with pytest.raises(InputError, match="meets its weights"):
        monotone(pose(x[:, :1], x[:, :1], None, None, SquaredEuclidean(), (AtMost(), AtMost()), 0.5))
