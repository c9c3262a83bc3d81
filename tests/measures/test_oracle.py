"""The oracle against autograd, the continuity equation, Monte Carlo, and its own flow."""

import math

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, StudentT, ring
from pushforward.paths import VE, VP, CondOT, LinearVP, Polynomial, Trig

DOUBLE = torch.float64
SCHEDULES = [CondOT(), CondOT(0.1), Trig(), LinearVP(), Polynomial(2), VP(), VE(0.1, 5.0)]
C0 = [[1.0, 0.4], [0.4, 0.5]]
C1 = [[0.3, -0.2], [-0.2, 2.0]]


def tensor(values):
    return torch.tensor(values, dtype=DOUBLE)


def plain():
    """Two Gaussians whose covariances do not commute."""
    return Gaussian(tensor([0.5, -1.0]), tensor(C0)), Gaussian(tensor([2.0, -1.0]), tensor(C1))


def mixed():
    source = GaussianMixture(tensor([[-1.0, 0.0], [1.0, 0.5]]), tensor([C0, C1]), tensor([0.3, 0.7]))
    means = tensor([[2.0, 1.0], [-2.0, 1.0], [0.0, -2.0]])
    return source, GaussianMixture(means, tensor([C1, C0, [[0.2, 0.0], [0.0, 0.1]]]))


def line():
    """One-dimensional mixtures."""
    source = GaussianMixture(tensor([[-1.0], [0.5]]), tensor([[[0.2]], [[1.0]]]))
    return source, GaussianMixture(
        tensor([[-3.0], [0.0], [4.0]]), tensor([[[0.1]], [[0.5]], [[1.0]]]), tensor([1.0, 2.0, 3.0])
    )


MEASURES = [plain, mixed, line]


def states(oracle, n=64, low=0.05, high=0.95):
    """Times and states that the path visits."""
    g = torch.Generator().manual_seed(0)
    t = low + (high - low) * torch.rand(n, generator=g, dtype=DOUBLE)
    return oracle.sample(n, t, generator=g), t


def row_jacobian(function, x):
    """Jacobian of a row-wise function at each row of `x`: `(n, d, d)`."""
    x = x.detach().requires_grad_()
    y = function(x)
    rows = [torch.autograd.grad(y[:, j].sum(), x, retain_graph=True)[0] for j in range(y.shape[1])]
    return torch.stack(rows, 1)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("measures", MEASURES)
def test_score_and_continuity_equation(measures, schedule):
    oracle = AffineOracle(*measures(), schedule)
    x, t = states(oracle)
    x.requires_grad_()
    t.requires_grad_()
    score, rate = torch.autograd.grad(oracle.log_prob(x, t).sum(), (x, t))
    torch.testing.assert_close(oracle.score(x, t), score, rtol=1e-8, atol=1e-8)
    x, t = x.detach(), t.detach()
    velocity = oracle.velocity(x, t)
    spreading = row_jacobian(lambda rows: oracle.velocity(rows, t), x).diagonal(dim1=1, dim2=2).sum(1)
    residual = rate + spreading + (velocity * score).sum(1)
    assert residual.abs().max() < 1e-8 * rate.abs().max()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("measures", MEASURES)
def test_ends_velocity_and_score_are_consistent(measures, schedule):
    source, target = measures()
    oracle = AffineOracle(source, target, schedule)
    x, t = states(oracle)
    c = schedule(t[:, None])
    data, noise = oracle.data(x, t), oracle.noise(x, t)
    torch.testing.assert_close(c.alpha * data + c.sigma * noise, x)
    torch.testing.assert_close(c.d_alpha * data + c.d_sigma * noise, oracle.velocity(x, t))
    standard = AffineOracle(Gaussian(torch.zeros(x.shape[1], dtype=DOUBLE)), target, schedule)
    torch.testing.assert_close(standard.score(x, t), -standard.noise(x, t) / c.sigma)


@pytest.mark.parametrize("measures", MEASURES)
def test_conditional_means_are_what_samples_average_to(measures):
    """E[v f(x)] = E[u(x) f(x)] characterises the conditional mean; f are waves, and the deviation is measured in
    standard errors.
    """
    source, target = measures()
    oracle = AffineOracle(source, target, Trig())
    g, n = torch.Generator().manual_seed(2), 100_000
    x0, x1 = source.sample(n, generator=g), target.sample(n, generator=g)
    t = torch.full((n,), 0.4, dtype=DOUBLE)
    c = Trig()(t[:, None])
    x = c.alpha * x1 + c.sigma * x0
    truths = {oracle.data: x1, oracle.noise: x0, oracle.velocity: c.d_alpha * x1 + c.d_sigma * x0}
    for method, truth in truths.items():
        error = truth - method(x, t)
        for wave in (torch.ones_like(x[:, :1]), torch.sin(x[:, :1]), torch.cos(2 * x[:, -1:])):
            z = (error * wave).mean(0) / ((error * wave).std(0) / math.sqrt(n))
            assert z.abs().max() < 4.5


def test_gaussian_velocity_formula():
    source, target = plain()
    for schedule in SCHEDULES:
        oracle = AffineOracle(source, target, schedule)
        x, t = states(oracle, 16)
        for row, time in zip(x, t, strict=True):
            a, s, da, ds = schedule(time)
            mean, speed = a * target.mean + s * source.mean, da * target.mean + ds * source.mean
            gain = (a * da * tensor(C1) + s * ds * tensor(C0)) @ torch.linalg.inv(a**2 * tensor(C1) + s**2 * tensor(C0))
            torch.testing.assert_close(oracle.velocity(row[None], time[None])[0], speed + gain @ (row - mean))


@pytest.mark.parametrize("schedule", [CondOT(), Trig(), Polynomial(2)], ids=repr)
@pytest.mark.parametrize("measures", MEASURES)
def test_both_ends_are_exact(measures, schedule):
    source, target = measures()
    oracle = AffineOracle(source, target, schedule)
    x = target.sample(8, generator=torch.Generator().manual_seed(0))
    zero, one = torch.zeros(8, dtype=DOUBLE), torch.ones(8, dtype=DOUBLE)
    torch.testing.assert_close(oracle.log_prob(x, zero), source.log_prob(x))
    torch.testing.assert_close(oracle.log_prob(x, one), target.log_prob(x))
    torch.testing.assert_close(oracle.score(x, one), target.score(x))
    torch.testing.assert_close(oracle.data(x, one), x)
    torch.testing.assert_close(oracle.noise(x, one), source.mean.expand_as(x))
    torch.testing.assert_close(oracle.noise(x, zero), x)
    assert oracle.velocity(x, one).isfinite().all() and oracle.velocity(x, zero).isfinite().all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("measures", [plain, line])
def test_flow_map_pushes_the_density(measures, schedule):
    oracle = AffineOracle(*measures(), schedule)
    x, s = states(oracle, 32, 0.0, 1.0)
    e = s.flip(0)
    jacobian = row_jacobian(lambda rows: oracle.flow_map(rows, s, e), x)
    moved = oracle.flow_map(x, s, e)
    pushed = oracle.log_prob(moved, e) + torch.linalg.slogdet(jacobian)[1]
    torch.testing.assert_close(pushed, oracle.log_prob(x, s), rtol=0, atol=1e-8)
    torch.testing.assert_close(oracle.flow_map(moved, e, s), x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("measures", "schedule"), [(plain, Trig()), (line, VP()), (line, VE(0.1, 5.0)), (mixed, Trig()), (mixed, VP())]
)
def test_flow_map_follows_the_velocity(measures, schedule):
    """Central difference in the end time: covers the integrated map of two-dimensional mixtures too."""
    oracle = AffineOracle(*measures(), schedule)
    x, _ = states(oracle, 16, 0.2, 0.2 + 1e-12)
    h = 1e-4
    ends = torch.tensor([0.7, 0.7 + h, 0.7 - h], dtype=DOUBLE).repeat_interleave(16)
    moved, ahead, behind = oracle.flow_map(x.repeat(3, 1), 0.2, ends).split(16)
    slope = (ahead - behind) / (2 * h)
    velocity = oracle.velocity(moved, torch.full((16,), 0.7, dtype=DOUBLE))
    torch.testing.assert_close(slope, velocity, rtol=1e-4, atol=1e-5)


def test_flow_map_of_a_mixture_reaches_the_target():
    """The integrated map, from end to end: change of variables with a Jacobian by central differences."""
    source, target = mixed()
    oracle = AffineOracle(source, target, VP())
    x, h = states(oracle, 8, 0.0, 1e-12)[0], 1e-5
    shifts = torch.tensor([[0.0, 0.0], [h, 0.0], [-h, 0.0], [0.0, h], [0.0, -h]], dtype=DOUBLE)
    moved = oracle.flow_map((shifts[:, None] + x).flatten(0, 1), 0.0, 1.0).unflatten(0, (5, 8))
    jacobian = torch.stack([moved[1] - moved[2], moved[3] - moved[4]], 2) / (2 * h)
    start = oracle.log_prob(x, torch.zeros(8, dtype=DOUBLE))
    torch.testing.assert_close(target.log_prob(moved[0]) + torch.linalg.slogdet(jacobian)[1], start, rtol=0, atol=1e-5)


def embedded(measure):
    """The one-dimensional mixture with an independent standard normal as second coordinate."""
    covariances = torch.stack([torch.diag(tensor([float(c), 1.0])) for c in measure.covariances])
    return GaussianMixture(torch.cat([measure.means, torch.zeros_like(measure.means)], 1), covariances, measure.weights)


def test_quantile_map_agrees_with_integration_and_reaches_far_tails():
    source, target = line()
    oracle = AffineOracle(source, target, CondOT())
    x = torch.linspace(-3, 3, 9, dtype=DOUBLE)[:, None]
    wide = [embedded(source), embedded(target)]
    flat = AffineOracle(*wide, CondOT()).flow_map(torch.cat([x, torch.zeros_like(x)], 1), 0.0, 1.0)
    torch.testing.assert_close(oracle.flow_map(x, 0.0, 1.0), flat[:, :1], rtol=1e-7, atol=1e-7)
    far = tensor([[-30.0], [30.0]])
    torch.testing.assert_close(oracle.flow_map(oracle.flow_map(far, 0.0, 1.0), 1.0, 0.0), far, rtol=1e-9, atol=0)


@pytest.mark.parametrize("measures", [plain, line])
def test_flow_map_gradients(measures):
    oracle = AffineOracle(*measures(), Trig())
    x, s = states(oracle, 4, 0.1, 0.4)
    e = s + 0.5
    inputs = tuple(v.requires_grad_() for v in (x, s, e))
    assert torch.autograd.gradcheck(oracle.flow_map, inputs, atol=1e-5)


@pytest.mark.parametrize("measures", MEASURES)
def test_mean_velocity_identities(measures):
    """Semigroup identity for all; the Eulerian one, u = v + (e - s) D_s u, where the map is differentiable."""
    oracle = AffineOracle(*measures(), CondOT())
    x, s = states(oracle, 16, 0.05, 0.3)
    m, e = s + 0.2, s + 0.6
    whole, first = oracle.mean_velocity(x, s, e), oracle.mean_velocity(x, s, m)
    second = oracle.mean_velocity(x + (m - s)[:, None] * first, m, e)
    torch.testing.assert_close(
        (e - s)[:, None] * whole, (m - s)[:, None] * first + (e - m)[:, None] * second, rtol=1e-7, atol=1e-7
    )
    velocity = oracle.velocity(x, s)
    torch.testing.assert_close(oracle.mean_velocity(x, s, s), velocity)
    if measures is not mixed:
        u, along = torch.func.jvp(oracle.mean_velocity, (x, s, e), (velocity, torch.ones_like(s), torch.zeros_like(e)))
        torch.testing.assert_close(u, velocity + (e - s)[:, None] * along, rtol=1e-8, atol=1e-8)


def test_straightness_and_costs():
    s0, s1 = tensor([1.0, 0.5]), tensor([0.3, 2.0])
    m0, m1 = tensor([0.0, 0.0]), tensor([2.0, -1.0])
    oracle = AffineOracle(Gaussian(m0, s0.square().diag()), Gaussian(m1, s1.square().diag()), CondOT())
    assert oracle.straightness() == pytest.approx((2 - math.pi / 2) * float((s0 * s1).sum()), rel=1e-10)
    assert oracle.flow_cost() == pytest.approx(5 + float(((s1 - s0) ** 2).sum()), rel=1e-12)
    assert oracle.independent_cost() == pytest.approx(5 + float((s0**2 + s1**2).sum()), rel=1e-12)
    trig = AffineOracle(Gaussian.standard(3), Gaussian.standard(3), Trig())
    assert trig.straightness() == pytest.approx(0.0, abs=1e-12)


def test_straightness_and_flow_cost_by_simulation():
    """Covariances that do not commute, a schedule that is not linear."""
    source, target = plain()
    oracle = AffineOracle(source, target, Trig())
    x0 = source.sample(100_000, generator=torch.Generator().manual_seed(0))
    x1 = oracle.flow_map(x0, 0.0, 1.0)
    cost = (x1 - x0).square().sum(1)
    assert abs(float(cost.mean()) - oracle.flow_cost()) < 4 * float(cost.std()) / math.sqrt(len(cost))
    times = (torch.arange(40, dtype=DOUBLE) + 0.5) / 40
    speeds = [oracle.velocity(oracle.flow_map(x0[:20_000], 0.0, t), t) for t in times]
    measured = sum(float((x1[:20_000] - x0[:20_000] - v).square().sum(1).mean()) for v in speeds) / 40
    assert measured == pytest.approx(oracle.straightness(), rel=0.02)


def test_single_precision_stays_single():
    oracle = AffineOracle(Gaussian.standard(2), ring(), CondOT())
    double = AffineOracle(Gaussian.standard(2), ring(), CondOT())
    x, t = oracle.sample(32, 0.6, generator=torch.Generator().manual_seed(0)), torch.full((32,), 0.6)
    for name in ("velocity", "score", "data", "noise", "log_prob"):
        got, wanted = getattr(oracle, name)(x, t), getattr(double, name)(x.double(), t.double())
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), wanted, rtol=1e-3, atol=1e-3)
    assert oracle.flow_map(x, 0.0, 0.1).dtype == torch.float32


def test_describe_and_bad_input():
    oracle = AffineOracle(*mixed(), VP(0.2, 10.0))
    x, t = states(oracle, 4)
    torch.testing.assert_close(build(describe(oracle)).velocity(x, t), oracle.velocity(x, t))
    with pytest.raises(InputError, match="Gaussian or a GaussianMixture, got a StudentT"):
        AffineOracle(StudentT([0.0]), Gaussian([0.0]), CondOT())
    with pytest.raises(InputError, match="both must agree"):
        AffineOracle(Gaussian.standard(2), Gaussian.standard(3), CondOT())
    with pytest.raises(InputError, match="wanted vectors"):
        AffineOracle(Gaussian.standard(1, 8, 8), Gaussian.standard(1, 8, 8), CondOT())
    with pytest.raises(InputError, match="two Gaussians only"):
        oracle.straightness()
    with pytest.raises(InputError, match="wanted \\(n, 2\\)"):
        oracle.velocity(torch.zeros(3, 5), torch.zeros(3))
