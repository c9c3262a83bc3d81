"""The Sinkhorn divergence: closed forms, positivity, limits and derivatives."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import grad, gradcheck

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.ot import KL, AtMost, solve
from pushforward.ot.divergence import self_transport, sinkhorn_divergence
from pushforward.ot.entropic.transform import DenseTransform
from pushforward.ot.problem import pose

F64 = torch.float64


def normal(*shape, key=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(key), dtype=F64)


def weights(n, key=0):
    return torch.softmax(normal(n, key=key), -1)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_gaussians_have_the_closed_form(epsilon):
    """Variances A, B, s = epsilon / 2, D(A, B) = sqrt(4AB + s^2): OT = |m|^2 + A + B - D + s log(D + s) + ..."""
    grid = torch.linspace(-7, 7, 400, dtype=F64)[:, None]
    density = lambda mean, variance: torch.softmax(-((grid[:, 0] - mean) ** 2) / (2 * variance), 0)  # noqa: E731
    A, B, s = 1.0, 0.49, epsilon / 2

    def biased(A, B):
        D = math.sqrt(4 * A * B + s * s)
        return A + B - D + s * math.log(D + s)

    closed = 0.8**2 + biased(A, B) - biased(A, A) / 2 - biased(B, B) / 2
    ours = sinkhorn_divergence(grid, grid, density(0.5, A), density(-0.3, B), epsilon=epsilon)
    assert float(ours) == pytest.approx(closed, abs=1e-6)


def test_it_is_the_objectives_without_their_bias():
    x, y, a, b = normal(20, 2), normal(15, 2, key=1) + 1, weights(20), weights(15, key=1)
    objective = lambda *points: solve(*points, epsilon=0.3, tolerance=1e-10).objective  # noqa: E731
    wanted = objective(x, y, a, b) - objective(x, x, a, a) / 2 - objective(y, y, b, b) / 2
    torch.testing.assert_close(sinkhorn_divergence(x, y, a, b, epsilon=0.3), wanted, atol=1e-9, rtol=0)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    key=st.integers(0, 1000), n=st.integers(1, 6), m=st.integers(1, 6), epsilon=st.sampled_from([1.0, 10.0, 100.0]),
    rule=st.sampled_from(["exact", "kl"]), distance=st.sampled_from([SquaredEuclidean(), PNorm(2), PNorm(1)]),
)  # fmt: skip
def test_positive_zero_where_equal_and_symmetric(key, n, m, epsilon, rule, distance):
    x, y = normal(n, 2, key=key) / 2, normal(m, 2, key=key + 1) / 2
    a, b = weights(n, key=key), weights(m, key=key + 2)
    options = {"cost": distance, "epsilon": epsilon}
    if rule == "kl":
        options["marginals"], a = KL(1.0), 1.7 * a
    between = sinkhorn_divergence(x, y, a, b, **options)
    assert float(between) >= -1e-8
    torch.testing.assert_close(between, sinkhorn_divergence(y, x, b, a, **options), atol=1e-8, rtol=0)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(key))
    inputs = x.clone().requires_grad_(), a.clone().requires_grad_()
    same = sinkhorn_divergence(inputs[0], x[order], inputs[1], a[order], **options)
    assert -1e-8 <= float(same.detach()) < 1e-6
    by_points, by_weights = grad(same, inputs)
    assert by_points.abs().max() < 1e-5 and (by_weights - (by_weights @ a) / a.sum()).abs().max() < 1e-5


def test_limits_are_the_exact_cost_and_the_distance_of_the_means():
    x, y = normal(30, 2), normal(25, 2, key=1) + 1
    exact, means = solve(x, y).value, (x.mean(0) - y.mean(0)).square().sum()
    assert float(sinkhorn_divergence(x, y, epsilon=1e-3)) == pytest.approx(float(exact), rel=1e-3)
    assert float(sinkhorn_divergence(x, y, epsilon=1e5)) == pytest.approx(float(means), rel=1e-4)


def test_a_shift_has_the_squared_length_at_any_epsilon():
    x, shift = normal(12, 3).requires_grad_(), torch.tensor([1.0, -2.0, 0.5], dtype=F64)
    divergence = sinkhorn_divergence(x, x.detach() + shift, epsilon=3.0)
    assert float(divergence.detach()) == pytest.approx(float(shift.square().sum()), abs=1e-9)
    torch.testing.assert_close(grad(divergence, x)[0], (-2 * shift / 12).expand(12, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rule", [None, KL(0.8)], ids=["balanced", "KL"])
def test_derivatives_are_those_of_finite_differences(rule):
    inputs = [normal(3, 2), normal(4, 2, key=1), normal(3, key=2), normal(4, key=3)]
    options = {"epsilon": 0.7, "tolerance": 1e-13} | ({} if rule is None else {"marginals": rule})

    def divergence(x, y, a, b):
        law = (lambda logits: logits.softmax(-1)) if rule is None else torch.exp
        return sinkhorn_divergence(x, y, law(a), law(b), **options)

    assert gradcheck(divergence, [t.requires_grad_() for t in inputs], atol=1e-5, rtol=1e-4, fast_mode=True)


def test_batches_are_problems_one_by_one():
    x, y = normal(3, 6, 2).requires_grad_(), normal(3, 5, 2, key=1)
    together = sinkhorn_divergence(x, y, epsilon=0.5)
    alone = torch.stack([sinkhorn_divergence(x[k], y[k], epsilon=0.5) for k in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-8, rtol=0)
    torch.testing.assert_close(grad(together.sum(), x)[0], grad(alone.sum(), x)[0], atol=1e-6, rtol=0)


def test_single_precision():
    x, y = normal(40, 2).float().requires_grad_(), normal(50, 2, key=1).float()
    divergence = sinkhorn_divergence(x, y, epsilon=0.1)
    reference = sinkhorn_divergence(x.detach().double(), y.double(), epsilon=0.1)
    assert divergence.dtype == grad(divergence, x)[0].dtype == torch.float32
    assert float(divergence.detach()) == pytest.approx(float(reference), abs=1e-5)


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2, 1.0, 100.0])
def test_averaged_steps_transport_a_measure_onto_itself_in_few_iterations(epsilon):
    x, a = normal(60, 2), weights(60)
    a[0] = 0
    posed, calls = pose(x, x, a / a.sum(), a / a.sum(), SquaredEuclidean()), []

    class Counted(DenseTransform):
        def rows(self, g):
            calls.append(1)
            return super().rows(g)

    f = self_transport(Counted(posed, epsilon), posed.a, tolerance=1e-9, max_iterations=200)
    P = posed.a[:, None] * posed.a * ((f[:, None] + f - posed.dense()) / epsilon).exp()
    assert (P.sum(1) - posed.a).abs().sum() < 1e-9 and len(calls) <= 45 and f.isfinite().all()


def test_what_cannot_be_done_is_refused_in_one_line():
    x = normal(5, 2)
    with pytest.raises(InputError, match="needs a Cost between points"):
        sinkhorn_divergence(x, x, cost=torch.ones(5, 5), epsilon=1.0)
    for marginals in (AtMost(), (KL(1.0), KL(1.0)), KL(torch.ones(5))):
        with pytest.raises(InputError, match=r"takes marginals=Exact\(\), or KL"):
            sinkhorn_divergence(x, x, epsilon=1.0, marginals=marginals)
    with pytest.raises(InputError, match="needs a positive epsilon"):
        sinkhorn_divergence(x, x, epsilon=None)
    posed = pose(x, x, None, None, SquaredEuclidean())
    with pytest.warns(ConvergenceWarning, match=r"after 1 iterations with a marginal error of .* wanted 1.00e-12"):
        self_transport(DenseTransform(posed, 1.0), posed.a, tolerance=1e-12, max_iterations=1)
