"""Several distributions, one field: routes, closed form, objective, transport."""

import pytest
import torch

import pushforward as pf
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.maps import MultimarginalTransport, RouteField, cheapest_route, transport_cost
from pushforward.networks import MLP, VertexField
from pushforward.objectives import VertexRegression
from pushforward.paths import Route
from pushforward.randomness import seeded
from pushforward.recipes.multimarginal import GaussianVertices, three_gaussians
from pushforward.solvers import SDE, DormandPrince, FixedStep
from pushforward.training import Trainer, fit_multimarginal

CURVED = Route((1, 0, 0), (0, 1, 0), ((0.0, 0.1), (0.0, -0.1), (0.4, 0.05)))
TRUTH = three_gaussians(2, seeded(0, "test"))


def stacked(n, seed=0):
    return TRUTH.draw(n, torch.Generator().manual_seed(seed))


def test_route_runs_inside_the_simplex_and_knows_its_derivative():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64).requires_grad_()
    alpha, d_alpha = CURVED(t)
    assert (alpha >= 0).all() and alpha[:, 2].max() > 0.1
    torch.testing.assert_close(alpha.sum(1), torch.ones_like(t))
    for k in range(3):
        slope = torch.autograd.grad(alpha[:, k].sum(), t, retain_graph=True)[0]
        torch.testing.assert_close(d_alpha[:, k], slope)
    ends = CURVED(torch.tensor([0.0, 1.0], dtype=torch.float64))[0]
    torch.testing.assert_close(ends, torch.eye(3, dtype=torch.float64)[:2], atol=1e-12, rtol=0)


def test_bad_routes_are_refused():
    for start, end, sines in (((1, 1), (0, 1), ()), ((1, 0), (0, 1, 0), ()), ((1, 0), (0, 1), ((0.1,),))):
        with pytest.raises(InputError, match="route"):
            Route(start, end, sines)


def test_closed_form_adds_up_and_is_the_mean_given_the_mixture():
    """E[x_k h(x)] = E[g_k h(x)] for every function h of the mixture."""
    ends = stacked(200_000)
    alpha = torch.tensor([0.5, 0.2, 0.3]).expand(len(ends), 3)
    x = (alpha[..., None] * ends).sum(1)
    g = TRUTH.vertices(x, alpha)
    torch.testing.assert_close((alpha[..., None] * g).sum(1), x, atol=1e-4, rtol=1e-4)
    for h in (torch.ones_like(x[:, :1]), x[:, :1], x[:, 1:].sin()):
        torch.testing.assert_close((ends * h[:, None]).mean(0), (g * h[:, None]).mean(0), atol=0.03, rtol=0)


@pytest.mark.parametrize("route", [Route.edge(0, 1, 3), CURVED], ids=["edge", "curved"])
def test_every_route_carries_one_marginal_to_the_other(route):
    field = RouteField(_Module(TRUTH), route)
    x = TRUTH.measures[0].sample(4000, generator=torch.Generator().manual_seed(0)).double()
    y = DormandPrince(1e-7).solve(field, x).x
    moved = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    linear = torch.linalg.lstsq(moved, y).solution  # the flow between Gaussians is affine: its moments are exact
    torch.testing.assert_close(moved @ linear, y, atol=1e-4, rtol=1e-4)
    A, mean = linear[:2].T, TRUTH.means[0].double() @ linear[:2] + linear[2]
    covariance = A @ TRUTH.covariances[0].double() @ A.T
    torch.testing.assert_close(mean, TRUTH.means[1].double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(covariance, TRUTH.covariances[1].double(), atol=2e-3, rtol=0)


class _Module(torch.nn.Module):
    """A closed form where a trained field is expected."""

    def __init__(self, truth):
        super().__init__()
        self.truth, self.event_shape = truth, truth.event_shape

    def vertices(self, x, alpha):
        return self.truth.vertices(x, alpha)


def test_score_where_one_marginal_is_noise():
    truth = GaussianVertices(torch.tensor([[0.0, 0.0], [2.0, -1.0]]), torch.stack([torch.eye(2), 0.3 * torch.eye(2)]))
    field = RouteField(_Module(truth), Route.edge(0, 1, 2), noise=0)
    x, t = torch.randn(20, 2), torch.linspace(0.05, 0.95, 20)
    variance = ((1 - t) ** 2 + 0.3 * t**2)[:, None]
    exact = -(x - t[:, None] * truth.means[1]) / variance
    torch.testing.assert_close(field.score(x, t), exact, atol=1e-4, rtol=1e-4)
    moved = SDE(steps=64).solve(field, torch.randn(4000, 2), generator=torch.Generator().manual_seed(0)).x
    torch.testing.assert_close(moved.mean(0), truth.means[1], atol=0.06, rtol=0)
    torch.testing.assert_close(moved.var(0), torch.full((2,), 0.3), atol=0.05, rtol=0)
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        RouteField(_Module(truth), Route.edge(0, 1, 2)).score(x, t)


def test_objective_is_stationary_at_the_closed_form():
    scale = torch.nn.Parameter(torch.zeros(3))

    class Perturbed:
        def vertices(self, x, alpha):
            return TRUTH.vertices(x, alpha) * (1 + scale[:, None]) + scale.sum() * x[:, None].sin()

    gradients = []
    for seed in range(40):
        loss = VertexRegression()(Perturbed(), Pairs(stacked(256), stacked(256, seed)), generator=seeded(seed, "alpha"))
        gradients.append(torch.autograd.grad(loss.total, scale)[0])
    g = torch.stack(gradients)
    assert (g.mean(0).abs() < 3.5 * g.std(0) / 40**0.5).all()


def test_weights_are_uniform_on_the_simplex_or_on_its_edges():
    draw = {"like": torch.zeros(1), "generator": torch.Generator().manual_seed(0)}
    inside = VertexRegression(edges=0.0).weights(50_000, 3, **draw)
    torch.testing.assert_close(inside.sum(1), torch.ones(50_000))
    assert abs(float((inside[:, 0] < 0.5).double().mean()) - 0.75) < 0.01  # 1 - (1 - a)^2
    edges = VertexRegression(edges=1.0).weights(50_000, 3, **draw)
    assert ((edges == 0).sum(1) == 1).all()
    assert abs(float(edges.max(1).values.mean()) - 0.75) < 0.01  # the larger of u and 1 - u
    with pytest.raises(InputError, match="edges"):
        VertexRegression(edges=2.0)


def test_projection_makes_the_answers_add_up():
    field = VertexField(MLP(width=8), (2,), 3)
    torch.nn.init.normal_(field.network.last.weight)
    x, alpha = torch.randn(6, 2), torch.tensor([[0.2, 0.3, 0.5], [1.0, 0, 0]]).repeat(3, 1)
    torch.testing.assert_close((alpha[..., None] * field.vertices(x, alpha)).sum(1), x)


def test_detour_by_a_wide_marginal_is_cheaper():
    ends, edge = stacked(2000), Route.edge(0, 1, 3)
    route = cheapest_route(TRUTH, 0, 1, ends, steps=150, batch_size=256, generator=torch.Generator().manual_seed(0))
    (straight, error0), (learned, error1) = (transport_cost(TRUTH, path, stacked(2000, 1)) for path in (edge, route))
    assert float(straight - learned) > 3 * float(error0 + error1)
    assert float(route(torch.tensor([0.5]))[0][0, 2]) > 0.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0)
        return fit_multimarginal(
            ["ring", 5 + torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), "gaussian"],
            network=MLP(width=8), trainer=trainer, solver=FixedStep("rk4", 8), out=folder / out,
            resume=resume, show_progress=False,
        )  # fmt: skip

    whole = train("whole", 4)
    train("parts", 2)
    return whole, train("parts", 4, resume=True), folder


def test_saves_loads_and_resumes(runs):
    whole, resumed, folder = runs
    loaded = pf.load(folder / "whole")
    assert isinstance(loaded, MultimarginalTransport)
    x = torch.randn(5, 2)
    for other in (resumed, loaded):
        torch.testing.assert_close(whole.push(x), other.push(x))
        torch.testing.assert_close(whole.between(1, 0).push(x), other.between(1, 0).push(x))
    flow = whole.between(2, 0, route=Route((0, 0, 1), (1, 0, 0)))
    flow.save(folder / "flow")
    torch.testing.assert_close(pf.load(folder / "flow").push(x), flow.push(x))


def test_transport_between_any_two(runs):
    transport = runs[0]
    assert transport.noise == 2 and float(transport.frames[2].scale) == 1.0
    x = torch.randn(5, 2)
    everywhere = transport.correspond(x, 1)
    assert everywhere.shape == (3, 5, 2) and torch.equal(everywhere[1], x)
    back = transport.between(0, 1).push(everywhere[0])
    torch.testing.assert_close(back, x, atol=1e-2, rtol=1e-2)
    for pair in ((0, 0), (0, 3)):
        with pytest.raises(InputError, match="marginal"):
            transport.between(*pair)
    points = [torch.randn(64, 2) for _ in range(3)]
    assert isinstance(transport.cheapest(0, 1, points, steps=2), Route)


def test_marginals_must_be_alike():
    with pytest.raises(InputError, match="several"):
        fit_multimarginal(["ring"])
    with pytest.raises(InputError, match="marginal 1"):
        fit_multimarginal(["ring", torch.randn(5, 3)])
