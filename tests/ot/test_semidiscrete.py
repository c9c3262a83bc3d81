"""Semi-discrete plans against quantiles, symmetry, quadrature and discrete plans of many draws."""

import math

import pytest
import torch

from pushforward.errors import ConvergenceWarning, InputError
from pushforward.geometry import PNorm, SquaredEuclidean
from pushforward.measures import Gaussian, ring
from pushforward.ot.semidiscrete import targets
from pushforward.ot.semidiscrete.fit import _start, semidiscrete
from pushforward.ot.semidiscrete.targets import Targets

LINE = Gaussian(torch.zeros(1, dtype=torch.float64))
PLANE = Gaussian.standard(2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n, d, seed):
    return torch.randn(n, d, generator=generator(seed))


@pytest.mark.parametrize("iterations, tolerance", [(300, 0.03), (2000, 0.01)])
def test_cells_of_a_line_end_at_the_quantiles(iterations, tolerance):
    y = torch.tensor([-1.5, -0.2, 0.1, 1.0, 4.0], dtype=torch.float64)
    b = torch.tensor([0.1, 0.3, 0.25, 0.2, 0.15], dtype=torch.float64)
    plan = semidiscrete(LINE, y[:, None], b, iterations=iterations, generator=generator())
    ends = (y.square() - plan.g).diff() / (2 * y.diff())
    exact = torch.special.ndtri(b.cumsum(0)[:-1])
    torch.testing.assert_close(ends, exact, atol=tolerance, rtol=0)
    x = torch.linspace(-3, 3, 500, dtype=torch.float64)[:, None]
    clear = (x - exact).abs().amin(1) > tolerance
    assert torch.equal(plan.index(x)[clear], (x > exact).sum(1)[clear])
    torch.testing.assert_close(plan.map(x), y[plan.index(x)][:, None])


def test_two_points_have_the_closed_cost_and_potential():
    """A half-line each: the cost is `E (|x| - 1)^2`, and f is the least of `(x - y_j)^2 - g_j` everywhere."""
    y = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    plan = semidiscrete(LINE, y, iterations=500, generator=generator())
    exact = 2 - 2 * math.sqrt(2 / math.pi)
    assert plan.value == pytest.approx(exact, abs=0.01) and plan.objective == pytest.approx(exact, abs=0.01)
    x = torch.linspace(-3, 3, 50, dtype=torch.float64)[:, None]
    torch.testing.assert_close(plan.potential(x), ((x - y.T).square() - plan.g).amin(1))
    draws = LINE.sample(200_000, generator=generator(1))
    assert float(plan.potential(draws).mean()) == pytest.approx(float(plan.b @ plan.g), abs=0.01)  # centred


def test_soft_cells_have_the_right_masses_by_quadrature():
    y, b = torch.tensor([[-1.0], [0.5], [2.0]]).double(), torch.tensor([0.5, 0.3, 0.2]).double()
    plan = semidiscrete(LINE, y, b, epsilon=0.5, iterations=1000, generator=generator())
    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
    density = torch.exp(-x[:, 0].square() / 2) * 0.004 / math.sqrt(2 * math.pi)
    shares = torch.softmax((plan.g - (x - y.T).square()) / 0.5 + b.log(), 1)
    torch.testing.assert_close(density @ shares, b, atol=2e-3, rtol=0)
    torch.testing.assert_close(plan.map(x), shares @ y)
    soft = -0.5 * torch.logsumexp((plan.g - (x - y.T).square()) / 0.5 + b.log(), 1)
    torch.testing.assert_close(plan.potential(x), soft)
    value = float(density @ (shares * (x - y.T).square()).sum(1))
    assert plan.value == pytest.approx(value, abs=0.02)
    assert plan.objective == pytest.approx(float(density @ soft + b @ plan.g), abs=0.02)


def test_eight_modes_in_the_plane_within_the_papers_variation():
    y = ring().sample(256, generator=generator())
    plan = semidiscrete(PLANE, y, iterations=300, generator=generator(1))
    assert plan.converged and plan.marginal_error <= 0.06 and (plan.cells > 0).all()
    masses = plan.masses(200_000, generator=generator(2))
    assert float((masses - plan.b).abs().sum() / 2) <= 0.06
    assert float(masses.sum()) == pytest.approx(1, abs=1e-5)


def test_value_is_that_of_the_discrete_plan_of_many_draws():
    import ot as pot

    y = points(8, 3, 0)
    plan = semidiscrete(Gaussian.standard(3), y, iterations=500, generator=generator())
    x = points(4000, 3, 1)
    cost = SquaredEuclidean().pairwise(x, y).double().numpy()
    discrete = pot.emd2([1 / 4000] * 4000, [1 / 8] * 8, cost)
    assert plan.value == pytest.approx(discrete, rel=0.03) and plan.objective == pytest.approx(discrete, rel=0.03)


def test_start_is_right_for_a_scaled_and_shifted_copy():
    """The cells of the start are Voronoi cells of the targets laid onto the source: every such point is in its own."""
    y = 7 * points(50, 2, 0).double() + 30
    x = torch.randn(100_000, 2, generator=generator(1), dtype=torch.float64)
    cells = Targets(y, torch.full((50,), 1 / 50, dtype=torch.float64), SquaredEuclidean(), 0.0)
    g = _start(cells, x)
    scale = (y - y.mean(0)).square().sum(1).mean().sqrt() / (x - x.mean(0)).square().sum(1).mean().sqrt()
    laid = (y - y.mean(0)) / scale + x.mean(0)
    found = torch.cat([block.index() for block in cells.scores(laid, g)])
    assert torch.equal(found, torch.arange(50))
    assert (cells.masses(x, g) > 0).all()


def test_a_shift_of_the_targets_leaves_the_cells():
    y, x = points(20, 2, 0).double(), torch.randn(500, 2, generator=generator(1), dtype=torch.float64)
    source = Gaussian(torch.zeros(2, dtype=torch.float64))
    near = semidiscrete(source, y, iterations=100, generator=generator(2))
    far = semidiscrete(source, y + 1000, iterations=100, generator=generator(2))
    assert float((near.index(x) == far.index(x)).double().mean()) > 0.99


def test_blocks_do_not_matter(monkeypatch):
    y, x = points(30, 2, 0), points(100, 2, 1)
    plan = semidiscrete(PLANE, y, iterations=20, epsilon=0.2, tolerance=1.0, generator=generator())
    whole = plan.index(x), plan.map(x), plan.potential(x)
    monkeypatch.setattr(targets, "BLOCK", 90)
    for left, right in zip(whole, (plan.index(x), plan.map(x), plan.potential(x)), strict=True):
        torch.testing.assert_close(left, right)


def test_other_costs():
    y = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    b = torch.tensor([0.25, 0.75], dtype=torch.float64)
    plan = semidiscrete(LINE, y, b, cost=PNorm(2), iterations=1000, generator=generator())
    boundary = float(torch.special.ndtri(b[0]))  # |x + 1| - |x - 1| = 2 x there
    assert float(plan.g[0] - plan.g[1]) == pytest.approx(2 * boundary, abs=0.02)


def test_images_and_massless_targets():
    y, b = points(12, 6, 0).reshape(12, 1, 2, 3), torch.ones(12)
    b[:3] = 0
    plan = semidiscrete(Gaussian.standard(1, 2, 3), y, b / 9, iterations=200, generator=generator())
    x = torch.randn(50, 1, 2, 3, generator=generator(1))
    assert plan.map(x).shape == x.shape and int(plan.index(x).min()) >= 3
    assert torch.isneginf(plan.g[:3]).all() and plan.g[3:].isfinite().all() and plan.cells[:3].sum() == 0
    part = semidiscrete(Gaussian.standard(1, 2, 3), y[3:], iterations=200, generator=generator())
    torch.testing.assert_close(part.g, plan.g[3:], atol=1e-4, rtol=1e-4)


def test_same_generator_same_plan():
    y = points(10, 2, 0)
    first, second = (semidiscrete(PLANE, y, iterations=50, generator=generator(3)) for _ in range(2))
    assert torch.equal(first.g, second.g) and first.value == second.value


def test_sampling_floor_is_the_error_of_exact_cells():
    plan = semidiscrete(PLANE, points(40, 2, 0), iterations=50, tolerance=1.0, generator=generator())
    exact = torch.distributions.Multinomial(plan.draws, plan.b)
    torch.manual_seed(0)
    errors = [(exact.sample() / plan.draws - plan.b).abs().sum() / 2 for _ in range(200)]
    assert plan.sampling_floor == pytest.approx(float(torch.stack(errors).mean()), rel=0.05)


def test_too_few_iterations_warn_with_figures():
    y = ring().sample(256, generator=generator())
    with pytest.warns(ConvergenceWarning, match=r"variation from the weights after 2 iterations, of which sampling"):
        plan = semidiscrete(PLANE, y, iterations=2, generator=generator())
    assert not plan.converged and plan.marginal_error > plan.sampling_floor + 0.05


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"y": torch.zeros(3, 5)}, r"\(2,\).*\(5,\)"),
        ({"y": torch.zeros(3, 2).double()}, "float64"),
        ({"b": torch.tensor([0.5, 0.6, 0.1])}, "sum 1.2"),
        ({"b": torch.tensor([0.5, 0.5])}, "3 weights"),
        ({"b": torch.tensor([1.5, -0.5, 0.0])}, "none negative"),
        ({"y": torch.tensor([[0.0, float("nan")]])}, "non-finite"),
        ({"epsilon": -1.0}, "epsilon=-1.0"),
        ({"iterations": 0}, "iterations=0"),
        ({"rate": 0.0}, "rate=0.0"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(InputError, match=message):
        semidiscrete(**({"source": PLANE, "y": torch.randn(3, 2)} | arguments))


def test_bad_points_for_a_plan():
    plan = semidiscrete(PLANE, points(5, 2, 0), iterations=20, tolerance=1.0, generator=generator())
    with pytest.raises(InputError, match=r"\(3,\).*\(2,\)"):
        plan.map(torch.zeros(4, 3))
    with pytest.raises(InputError, match="at least one draw"):
        plan.masses(0)
