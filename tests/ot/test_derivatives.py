"""Derivatives of entropic plans against finite differences, unrolling and closed forms."""

import weakref

import pytest
import torch
from torch.autograd import grad, gradcheck

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import Cost, PNorm, SquaredEuclidean
from pushforward.ot import KL, AtMost, Exact, problem, solve
from pushforward.ot.entropic import implicit
from pushforward.ot.entropic.plan import EntropicPlan
from pushforward.ot.problem import pose

F64 = torch.float64
BALANCED = (Exact(), Exact())
RULES = [
    BALANCED,
    (KL(0.8), Exact()),
    (Exact(), KL(0.5)),
    (KL(1.5), KL(0.5)),
    (KL(torch.tensor([0.3, 1.0, 2.0])), KL(0.5)),
]


def normal(*shape, key=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(key), dtype=F64)


def textbook(cost, a, b, epsilon, rules=BALANCED, sweeps=500):
    """Plain alternating updates, in the log domain."""
    factor = [1 / (1 + epsilon / rule.rho) if isinstance(rule, KL) else 1.0 for rule in rules]
    log_a, log_b = (torch.where(w > 0, w, 1).log().where(w > 0, -torch.inf) for w in (a, b))
    g = torch.zeros_like(b)
    for _ in range(sweeps):
        f = -factor[0] * epsilon * torch.logsumexp((g.unsqueeze(-2) - cost) / epsilon + log_b.unsqueeze(-2), -1)
        new = -factor[1] * epsilon * torch.logsumexp((f.unsqueeze(-1) - cost) / epsilon + log_a.unsqueeze(-1), -2)
        g, moved = new, float((new - g).detach().abs().max())
        if moved < 1e-15:
            break
    if rules == BALANCED:
        shift = ((a * f).sum(-1, keepdim=True) - (b * g).sum(-1, keepdim=True)) / 2
        f, g = f - shift, g + shift
    return f, g


def plan_of(x, y, a, b, cost=SquaredEuclidean(), epsilon=0.7, rules=BALANCED):
    posed = pose(x, y, a, b, cost, rules)
    inner = posed.detached()
    with torch.no_grad():
        f, g = textbook(inner.dense(), inner.a, inner.b, epsilon, rules)
    return EntropicPlan(posed, "textbook", 0, True, epsilon, f, g)


def variables(*lead):
    tensors = normal(*lead, 3, 2), normal(*lead, 4, 2, key=1), normal(*lead, 3, key=2), normal(*lead, 4, key=3)
    return [t.requires_grad_() for t in tensors]


def everything(plan, z):
    """All that a plan offers, as one vector."""
    x, y = plan.problem.points()
    priced = any(isinstance(rule, KL) and isinstance(rule.rho, torch.Tensor) for rule in plan.problem.marginals)
    results = [
        plan.objective, plan.value, plan.f, plan.g, plan.to_dense(), plan.apply(y), plan.transpose_apply(x[..., 0]),
        plan.barycentric_map(), *plan.marginals(), plan.extended_map(z), plan.potential(z, "target"),
        plan.f if priced else plan.potential(z),
    ]  # fmt: skip
    return torch.cat([result.flatten() for result in results])


def softmax(logits):
    return logits.softmax(-1)


def close(u, v, atol=1e-9):
    torch.testing.assert_close(u, v, atol=atol, rtol=0)


@pytest.mark.parametrize("lead", [(), (2,)], ids=["single", "batch"])
@pytest.mark.parametrize("rules", RULES, ids=["balanced", "KL rows", "KL columns", "KL", "KL by point"])
def test_every_result_has_the_derivative_of_finite_differences(rules, lead):
    weights = torch.exp if all(isinstance(rule, KL) for rule in rules) else softmax
    z = normal(*lead, 2, 2, key=4)

    def results(x, y, a, b):
        return everything(plan_of(x, y, weights(a), weights(b), rules=rules), z)

    assert gradcheck(results, variables(*lead), atol=1e-6, rtol=1e-5, fast_mode=True)


@pytest.mark.parametrize("rules", [BALANCED, (KL(1.5), KL(0.5))], ids=["balanced", "KL"])
def test_cost_matrices_and_other_costs_have_derivatives(rules):
    x, y, a, b = variables()

    def of_matrix(C):
        plan = plan_of(None, None, softmax(a.detach()), softmax(b.detach()), C, 0.3, rules)
        return plan.objective, plan.value, plan.f, plan.g, plan.to_dense()

    def of_points(x, y, a, b):
        plan = plan_of(x, y, softmax(a), softmax(b), PNorm(2), 0.3, rules)
        return plan.objective, plan.barycentric_map()

    assert gradcheck(of_matrix, normal(3, 4, key=5).requires_grad_(), atol=1e-6, rtol=1e-5)
    assert gradcheck(of_points, (x, y, a, b), atol=1e-6, rtol=1e-5, fast_mode=True)


def test_the_objective_varies_by_the_plan_in_the_costs_and_by_potentials_in_the_weights():
    C, a, b = normal(3, 4), softmax(normal(3, key=1)), softmax(normal(4, key=2))
    inputs = [t.requires_grad_() for t in (C, a, b)]
    plan = plan_of(None, None, a, b, C, 0.2)
    by_cost, by_a, by_b = grad(plan.objective, inputs)
    close(by_cost, plan.to_dense().detach())
    close(by_a - by_a[0], (plan.f - plan.f[0]).detach())
    close(by_b - by_b[0], (plan.g - plan.g[0]).detach())


@pytest.mark.parametrize("rules", [BALANCED, (KL(1.5), KL(0.5))], ids=["balanced", "KL"])
def test_the_objective_is_what_was_minimised(rules):
    x, y, a, b = variables()
    weights = softmax if rules == BALANCED else torch.exp
    plan = plan_of(x, y, weights(a), weights(b), rules=rules)
    P, reference = plan.to_dense(), plan.problem.a[:, None] * plan.problem.b
    divergence = lambda p, q: (p * (p / q).log() - p + q).sum()  # noqa: E731
    prices = [
        rule.rho * divergence(sums, weights)
        for rule, sums, weights in zip(rules, plan.marginals(), (plan.problem.a, plan.problem.b), strict=True)
        if isinstance(rule, KL)
    ]
    wanted = (P * plan.problem.dense()).sum() + 0.7 * divergence(P, reference) + sum(prices)
    close(plan.objective, wanted)
    assert plan.duality_gap < 1e-12


@pytest.mark.parametrize("rules", [BALANCED, (KL(1.5), Exact())], ids=["balanced", "KL"])
@pytest.mark.parametrize("epsilon", [0.05, 1.0])
def test_implicit_derivatives_are_those_of_unrolling(epsilon, rules):
    """Through thousands of sweeps, at an epsilon where finite differences would be too coarse."""
    x, y, a, b = variables()
    cotangent = normal(3, 4, key=6)
    plan = plan_of(x, y, softmax(a), softmax(b), epsilon=epsilon, rules=rules)
    implicit_ones = grad((plan.to_dense() * cotangent).sum() + plan.f[0], (x, y, a, b))
    C = SquaredEuclidean().pairwise(x, y)
    f, g = textbook(C, softmax(a), softmax(b), epsilon, rules, sweeps=2000)
    P = softmax(a)[:, None] * softmax(b) * ((f[:, None] + g - C) / epsilon).exp()
    for ours, unrolled in zip(implicit_ones, grad((P * cotangent).sum() + f[0], (x, y, a, b)), strict=True):
        close(ours, unrolled, atol=1e-8)


def test_sums_that_must_equal_the_weights_do_not_vary_with_the_points():
    x, y, a, b = variables()
    plan = plan_of(x, y, softmax(a), softmax(b))
    rows = (plan.marginals()[0] * normal(3, key=7)).sum()
    by_x, by_a = grad(rows, (x, a))
    close(by_x, torch.zeros_like(by_x))
    close(by_a, grad((softmax(a) * normal(3, key=7)).sum(), a)[0])


def test_points_without_mass():
    """They have no part in the derivatives of others; their own potentials follow them; gaining mass counts as well."""
    x, y, _, b = variables()
    mass = torch.tensor([0.4, 0.6, 0.0], dtype=F64)

    def results(a):
        plan = plan_of(x, y, a, softmax(b))
        loss = (plan.barycentric_map()[:2] * normal(2, 2, key=8)).sum() + plan.objective
        return loss + (plan.potential(y[:2], "target") - plan.extended_map(x[:2])[:, 0]).sum()

    full = results(mass.requires_grad_())
    for whole, fewer in zip(
        grad(full, (x, y, b), retain_graph=True), grad(without_the_last(x, y, mass, b), (x, y, b)), strict=True
    ):
        close(whole, fewer)
    step = 1e-6 * torch.tensor([-0.4, -0.6, 1.0], dtype=F64)
    difference = (results(mass.detach() + step) - results(mass.detach())).detach() / 1e-6
    slope = (grad(full, mass)[0] * step).sum() / 1e-6
    assert float(slope) == pytest.approx(float(difference), rel=1e-4)


def without_the_last(x, y, mass, b):
    plan = plan_of(x[:2], y, mass[:2].detach(), softmax(b))
    loss = (plan.barycentric_map() * normal(2, 2, key=8)).sum() + plan.objective
    return loss + (plan.potential(y[:2], "target") - plan.extended_map(x[:2])[:, 0]).sum()


@pytest.mark.parametrize("rules", [BALANCED, (KL(1.5), KL(0.5))], ids=["balanced", "KL"])
def test_potentials_of_points_without_mass_are_those_of_unrolling(rules):
    x, y, _, _ = variables()
    a, b = torch.tensor([0.4, 0.6, 0.0], dtype=F64), torch.tensor([0.0, 0.2, 0.0, 0.8], dtype=F64)
    plan = plan_of(x, y, a, b, epsilon=0.3, rules=rules)
    u, v = normal(3, key=6), normal(4, key=7)
    f, g = textbook(SquaredEuclidean().pairwise(x, y), a, b, 0.3, rules)
    ours, unrolled = grad(plan.f @ u + plan.g @ v, (x, y)), grad(f @ u + g @ v, (x, y))
    close(ours[0], unrolled[0])
    close(ours[1], unrolled[1])


def test_padding_on_both_sides_at_small_epsilon():
    """Points without mass that are near each other and far from all mass: nothing over- or underflows."""
    x, y = normal(3, 2).requires_grad_(), normal(4, 2, key=1)
    pad = torch.full((2, 2), 300.0, dtype=F64)
    a, b = torch.tensor([1 / 3] * 3 + [0.0] * 2, dtype=F64), torch.tensor([1 / 4] * 4 + [0.0] * 2, dtype=F64)
    part = plan_of(x, y, None, None, epsilon=0.1)
    plan = plan_of(torch.cat([x, pad]), torch.cat([y, pad]), a, b, epsilon=0.1)
    z = torch.cat([x.detach(), pad])
    for padded, short in (
        (plan.objective, part.objective), (plan.barycentric_map()[:3], part.barycentric_map()),
        (plan.to_dense()[:3, :4], part.to_dense()), (plan.extended_map(z), part.extended_map(z)),
        (plan.potential(z, "target"), part.potential(z, "target")),
    ):  # fmt: skip
        close(padded, short)
        close(grad(padded.sum(), x, retain_graph=True)[0], grad(short.sum(), x, retain_graph=True)[0])
    assert plan.f.isfinite().all() and plan.barycentric_map().isfinite().all()


class Watched(SquaredEuclidean):
    """Remembers the blocks of the cost that were made."""

    def pairwise(self, x, y):
        block = super().pairwise(x, y)
        blocks.append(weakref.ref(block))
        return block


blocks: list = []


@pytest.mark.parametrize("rules", [BALANCED, (KL(1.5), KL(0.5))], ids=["balanced", "KL"])
def test_derivatives_in_blocks_are_the_same_and_keep_no_block(rules, monkeypatch):
    inputs = variables(2)
    z = normal(2, 2, 2, key=4)

    def derivatives(cost):
        x, y, a, b = inputs
        plan = plan_of(x, y, softmax(a), softmax(b), cost, rules=rules)
        blocks.clear()
        results = (plan.objective, plan.value, plan.apply(y))
        kept = sum(block() is not None for block in blocks)
        vector = everything(plan, z)
        whole = sum(result.sum() for result in results) + (vector * normal(len(vector), key=9)).sum()
        return grad(whole, inputs), kept, len(blocks)

    at_once, _, made = derivatives(Watched())
    monkeypatch.setattr(problem, "BLOCK", 8)
    in_blocks, kept, more = derivatives(Watched())
    assert kept == 0 and more > made
    for one, other in zip(at_once, in_blocks, strict=True):
        close(one, other, atol=1e-10)


class Scaled(Cost):
    """A cost with a parameter."""

    def __init__(self, scale):
        self.scale = scale

    def pairwise(self, x, y):
        return self.scale * SquaredEuclidean().pairwise(x, y)

    def aligned(self, x, y):
        return self.scale * SquaredEuclidean().aligned(x, y)


@pytest.mark.parametrize("block", [1 << 24, 4], ids=["at once", "in blocks"])
def test_a_cost_with_parameters_has_derivatives(block, monkeypatch):
    monkeypatch.setattr(problem, "BLOCK", block)
    x, y, a, b = (t.detach() for t in variables())

    def results(scale):
        plan = plan_of(x, y, softmax(a), softmax(b), Scaled(scale))
        return plan.objective, plan.value, plan.f

    assert gradcheck(results, torch.tensor(1.3, dtype=F64, requires_grad=True), atol=1e-6, rtol=1e-5)


def test_solve_returns_differentiable_plans():
    x, y, a, b = variables()

    def results(x, y, a, b):
        plan = solve(x, y, softmax(a), softmax(b), epsilon=0.5, tolerance=1e-13)
        return plan.objective, plan.value, plan.f, plan.barycentric_map()

    assert gradcheck(results, (x, y, a, b), atol=1e-5, rtol=1e-4, fast_mode=True)


def test_single_precision_and_nothing_to_follow():
    x, y = normal(5, 2).float().requires_grad_(), normal(6, 2, key=1).float()
    plan = solve(x, y, epsilon=0.5)
    twin = solve(x.detach().double(), y.double(), epsilon=0.5, tolerance=1e-10)
    assert plan.objective.dtype == plan.value.dtype == plan.f.dtype == plan.potential(x).dtype == torch.float32
    by_x = grad(plan.barycentric_map().square().sum() + plan.objective, x)[0]
    double = x.detach().double().requires_grad_()
    twin = solve(double, y.double(), epsilon=0.5, tolerance=1e-10)
    reference = grad(twin.barycentric_map().square().sum() + twin.objective, double)[0]
    torch.testing.assert_close(by_x, reference.float(), atol=1e-3, rtol=1e-3)
    with torch.no_grad():
        assert not plan.value.requires_grad and not plan.f.requires_grad and not plan.objective.requires_grad
    assert not plan.sample_pairs(3)[0].requires_grad and isinstance(plan.duality_gap, float)
    plain = solve(x.detach(), y, epsilon=0.5)
    assert not everything(plain, y).requires_grad


def test_partial_plans_have_the_derivative_of_the_objective_only():
    x, y, a, b = variables()

    def optimum(x, y, a, b):
        return solve(
            x, y, a.exp() / 4, b.exp() / 4, epsilon=0.5, marginals=(AtMost(), AtMost()), mass=0.6, tolerance=1e-12,
            max_iterations=100_000,
        )  # fmt: skip

    assert gradcheck(lambda *t: optimum(*t).objective, (x, y, a, b), atol=1e-5, rtol=1e-4, fast_mode=True)
    with pytest.raises(InputError, match="differentiate its objective only"):
        grad(optimum(x, y, a, b).value, x)


def test_second_derivatives_are_refused():
    x, y, a, b = variables()
    plan = plan_of(x, y, softmax(a), softmax(b))
    for result in (plan.objective, plan.value, plan.f.sum()):
        with pytest.raises(InputError, match="first derivatives only"):
            grad(result, x, create_graph=True)


def test_too_few_conjugate_gradients_warn_with_figures(monkeypatch):
    monkeypatch.setattr(implicit, "MAX_ITERATIONS", 1)
    x, y, a, b = variables()
    plan = plan_of(x, y, softmax(a), softmax(b), epsilon=0.2)
    with pytest.warns(ConvergenceWarning, match=r"after 1 conjugate gradients with a relative residual of .* wanted"):
        grad(plan.value, x)
