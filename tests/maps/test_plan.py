"""A plan as a transport: what it does to the plan's own points, to new ones, and after a trip to the disk."""

import math

import pytest
import torch

import pushforward as pf
from pushforward.errors import InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.maps.plan import PlanTransport
from pushforward.ot import AtMost, solve


def clouds(n: int, m: int, d: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = 0.5 * torch.randn(m, d, generator=generator, dtype=torch.float64) + 2
    return x.to(dtype), y.to(dtype)


def weights(n: int) -> torch.Tensor:
    w = torch.rand(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w[0] = 0
    return w / w.sum()


@pytest.mark.parametrize("cost", [SquaredEuclidean(), PNorm(1)], ids=["squared", "city-block"])
def test_entropic_transport_is_the_barycentric_map_on_its_own_points(cost):
    x, y = clouds(40, 30)
    a, b = weights(40), weights(30)
    plan = solve(x, y, a, b, cost=cost, epsilon=0.2, tolerance=1e-12)
    transport = PlanTransport.of(plan)
    torch.testing.assert_close(transport.push(x)[1:], plan.barycentric_map()[1:])
    torch.testing.assert_close(transport.push(x), plan.extended_map(x))
    back = solve(y, x, b, a, cost=cost, epsilon=0.2, tolerance=1e-12)
    torch.testing.assert_close(transport.pull(y)[1:], back.barycentric_map()[1:], atol=1e-9, rtol=0)


def test_entropic_transport_of_gaussians_is_the_closed_form_between_its_points():
    """The plan of two standard normals has E[y | x] = c x with c = sqrt(s^4/4 + 1) - s^2/2 at epsilon = 2 s^2."""
    x = torch.linspace(-7, 7, 301, dtype=torch.float64)[:, None]
    weight = torch.exp(-0.5 * x[:, 0].square())
    weight = weight / weight.sum()
    transport = PlanTransport.of(solve(x, x, weight, weight, epsilon=2.0, tolerance=1e-12))
    z = torch.linspace(-2.5, 2.5, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(transport.push(z), (math.sqrt(1.25) - 0.5) * z, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_transport_is_the_permutation_on_its_own_points(dtype):
    x, y = clouds(60, 60, dtype=dtype)
    plan = solve(x, y)
    transport = PlanTransport.of(plan)
    j = plan.sample_sources()
    assert len(j.unique()) == 60
    torch.testing.assert_close(transport.pull(y), x[j])
    torch.testing.assert_close(transport.push(x[j]), y)


def test_exact_transport_splits_space_into_power_cells():
    x, y = clouds(60, 45)
    plan = solve(x, y)
    transport = PlanTransport.of(plan)
    torch.testing.assert_close(transport.push(x), plan.barycentric_map())
    z, w = clouds(200, 200, seed=1)
    expected = y[((z[:, None] - y).square().sum(-1) - plan.g).argmin(1)]
    assert torch.equal(transport.push(z), expected)
    assert torch.equal(transport.pull(w), x[((x[:, None] - w).square().sum(-1) - plan.f[:, None]).argmin(0)])
    mixed = transport.push(torch.cat([z[:3], x[:3], z[3:5]]))
    assert torch.equal(mixed, torch.cat([expected[:3], transport.push(x[:3]), expected[3:5]]))


def test_exact_transport_is_monotone_on_the_line():
    x, y = clouds(50, 50, 1)
    moved = PlanTransport.of(solve(x, y)).push(torch.linspace(-4, 4, 333, dtype=torch.float64)[:, None])
    assert bool((moved.diff(dim=0) >= 0).all()) and len(moved.unique()) > 25


def test_points_without_mass_attract_nothing():
    x, y = clouds(30, 30)
    transport = PlanTransport.of(solve(x, y, weights(30), weights(30)))
    z, w = clouds(200, 200, seed=1)
    assert not (transport.push(z) == y[0]).all(1).any() and not (transport.pull(w) == x[0]).all(1).any()


def test_points_that_a_partial_plan_leaves_behind_go_to_a_cell():
    x, y = clouds(20, 20)
    plan = solve(x, y, marginals=AtMost(), mass=0.5)
    moved, sent = PlanTransport.of(plan).push(x), plan.marginals()[0] > 0
    assert 0 < int(sent.sum()) < 20 and moved.isfinite().all()
    torch.testing.assert_close(moved[sent], plan.barycentric_map()[sent])
    assert all((point == y).all(1).any() for point in moved[~sent])


def test_equal_points_share_the_mean_of_their_images():
    x = torch.tensor([[0.0], [0.0], [5.0]], dtype=torch.float64)
    transport = PlanTransport.of(solve(x, x + torch.tensor([[0.0], [1.0], [2.0]])))
    torch.testing.assert_close(transport.push(x), torch.tensor([[0.5], [0.5], [7.0]], dtype=torch.float64))


def test_continuous_source_is_cut_at_its_quantiles(tmp_path):
    """On the line the cells of N(0, 1) end at its quantiles: neighbours are as cheap there, less potentials."""
    y = torch.tensor([-3.0, -0.5, 0.1, 2.0, 2.5], dtype=torch.float64)[:, None]
    ends = torch.distributions.Normal(0.0, 1.0).icdf(torch.arange(1, 5, dtype=torch.float64) / 5)
    steps = (ends - y[1:, 0]).square() - (ends - y[:-1, 0]).square()
    made = PlanTransport.of_potential(y, torch.cat([steps.new_zeros(1), steps.cumsum(0)]))
    z = torch.randn(500, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    transport = pf.load(made.save(tmp_path / "run"))
    assert torch.equal(transport.push(z), y[torch.searchsorted(ends, z[:, 0])])
    with pytest.raises(InputError, match="no pull"):
        transport.pull(y)
    with pytest.raises(InputError, match=r"wanted points \(m, \.\.\.\)"):
        PlanTransport.of_potential(y, torch.zeros(3))


@pytest.mark.parametrize("epsilon", [None, 0.1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_load_pushes_to_the_same_bits(epsilon, dtype, tmp_path):
    x, y = clouds(30, 25, 4, dtype)
    made = PlanTransport.of(solve(x, y, cost=PNorm(2), epsilon=epsilon), event_shape=(1, 2, 2), names=("a",) * 4)
    loaded = pf.load(made.save(tmp_path / "run"))
    assert isinstance(loaded, PlanTransport) and loaded.cost == PNorm(2) and list(loaded.names) == ["a"] * 4
    z = torch.cat([x, clouds(50, 50, 4, dtype, seed=1)[0]]).unflatten(1, (1, 2, 2))
    assert loaded.push(z).shape == z.shape and loaded.push(z).dtype == dtype
    assert torch.equal(loaded.push(z), made.push(z)) and torch.equal(loaded.pull(z), made.pull(z))
    assert "2109.12004" in pf.cite(loaded)


def test_blocks_change_nothing(monkeypatch):
    x, y = clouds(40, 30)
    transport = PlanTransport.of(solve(x, y, epsilon=0.1))
    whole = transport.push(x)
    monkeypatch.setattr("pushforward.maps.plan.BLOCK", 90)
    torch.testing.assert_close(transport.push(x), whole)


def test_plans_that_do_not_extend_are_refused():
    x, y = clouds(6, 6)
    with pytest.raises(InputError, match="cost matrix"):
        PlanTransport.of(solve(cost=torch.rand(3, 3), epsilon=0.1))
    with pytest.raises(InputError, match="cost matrix"):
        PlanTransport.of(solve(x, y, cost=torch.rand(6, 6).double(), epsilon=0.1))
    with pytest.raises(InputError, match="one plan"):
        PlanTransport.of(solve(x.reshape(2, 3, 2), y.reshape(2, 3, 2), epsilon=0.1))


@pytest.mark.parametrize(
    "x, condition, message",
    [
        (torch.zeros(3, 5), None, r"rows of shape \(5,\)"),
        (torch.full((2, 2), torch.nan), None, "non-finite"),
        (torch.zeros(3, 2), "a", "this transport has none"),
    ],
)
def test_bad_points_are_named(x, condition, message):
    transport = PlanTransport.of(solve(*clouds(5, 5), epsilon=1.0))
    for carry in (transport.push, transport.pull):
        with pytest.raises(InputError, match=message):
            carry(x, condition)
    with pytest.raises(InputError, match="no density"):
        transport.log_prob(torch.zeros(1, 2))
