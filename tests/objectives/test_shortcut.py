"""Shortcut models: jumps as two halves, dyadic jumps, guidance told to the network, errors of images by band."""

import math

import pytest
import torch
from tests.helpers import PerturbedMap, stationarity
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, PathPoint
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Field, TwoTime
from pushforward.objectives import (
    Adaptive,
    Conditional,
    Dyadic,
    FlowMatching,
    Intrinsic,
    MapTarget,
    MeanFlow,
    PseudoHuber,
    Regression,
    SemigroupTarget,
    Shortcut,
    SquaredError,
    Wavelet,
)
from pushforward.objectives.flow_maps.map_regression import MapRegression
from pushforward.paths import Affine, CondOT
from pushforward.tensors import bcast

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([2.0, -1.0]).double(), torch.diag(torch.tensor([0.09, 4.0])).double())
ORACLE = AffineOracle(SOURCE, TARGET, CondOT())


def pairs(generator: torch.Generator, n: int = 4000) -> Pairs:
    return Pairs(SOURCE.sample(n, generator=generator), TARGET.sample(n, generator=generator), gaussian_source=True)


def perturbed() -> tuple[PerturbedMap, Field]:
    net = PerturbedMap(ORACLE.mean_velocity)
    return net, Field(net, Affine(), (2,), {})


def scores(objective) -> torch.Tensor:
    net, field = perturbed()
    return stationarity(objective, field, net.theta, field.path, pairs, batches=20)


def regression(rule: MapTarget, distinct: float = 1.0) -> MapRegression:
    return MapRegression(rule, Conditional(), Dyadic(distinct=distinct), Adaptive(0.0))


def test_two_halves_of_the_exact_map_are_the_whole():
    """To rounding, and so is the gradient: no draw of pairs enters the jumps."""
    net, field = perturbed()
    loss = regression(SemigroupTarget())(field, pairs(torch.Generator().manual_seed(0)), field.path).total
    assert loss.item() < 1e-24
    assert torch.autograd.grad(loss, net.theta)[0].abs().max() < 1e-12


def test_the_map_of_two_gaussians_is_stationary():
    """With the halves as they are, among rows of flow matching."""
    assert scores(regression(SemigroupTarget(), 0.5)).abs().max() < 3.5


def test_straight_shortest_halves_err_by_the_square_of_their_length():
    """In the gradient, with a level's share of the rows; a step of the flow errs by as much."""
    found = []
    for levels in (3, 6):
        net, field = perturbed()
        jumps = Shortcut(times=Dyadic(levels=levels, distinct=1.0))
        loss = jumps(field, pairs(torch.Generator().manual_seed(0), 40_000), field.path)
        found.append(float(torch.autograd.grad(loss.total, net.theta)[0][2].abs()) * levels)
    assert found[0] / found[1] == pytest.approx(8**2, rel=0.3)


class OneHalf(MapTarget):
    """The first half alone, a slip."""

    def __call__(self, u, way):
        with torch.no_grad():
            return u(way.x, way.s, (way.s + way.e) / 2)


class FromTheStart(MapTarget):
    """The second half as if it began at the first state, a slip."""

    def __call__(self, u, way):
        m = (way.s + way.e) / 2
        with torch.no_grad():
            return (u(way.x, way.s, m) + u(way.x, m, way.e)) / 2


@pytest.mark.parametrize("rule", [OneHalf(), FromTheStart()], ids=lambda rule: type(rule).__name__)
def test_slips_are_caught(rule):
    assert scores(regression(rule, 0.5)).abs().max() > 20


def test_target_is_the_formula():
    """Written out for one random network: halves of jumps of 1/2 are 1/4 long; those of the shortest are straight."""
    torch.manual_seed(0)
    field = Field(TwoTime(MLP(width=16, depth=2)), Affine(), (2,), {}).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    u, g = field.mean_velocity, torch.Generator().manual_seed(1)
    batch, times = pairs(g, 64), Dyadic(levels=2, distinct=1.0)
    s, e, _ = times.sample(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x, m, long = torch.lerp(batch.x0, batch.x1, s[:, None]), (s + e) / 2, (e - s) > 0.75
    first = torch.where(long[:, None], u(x, s, m), u(x, s, s))
    met = x + (m - s)[:, None] * first
    target = (first + torch.where(long[:, None], u(met, m, e), u(met, m, m))) / 2
    wanted = (u(x, s, e) - target.detach()).square().mean()
    found = Shortcut(times=times)(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    torch.testing.assert_close(found, wanted)
    clamped = Shortcut(times=times, clamp=1e-3).at(0.0)
    assert clamped.target == SemigroupTarget(0.25, 1e-3)
    loss = clamped(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    near = u(x, s, e).square().mean()
    assert float(loss) == pytest.approx(float(near), rel=0.02)


def test_rows_that_stay_are_flow_matching():
    field = Field(TwoTime(MLP(width=16)), Affine(), (2,), {}).double()
    batch = pairs(torch.Generator().manual_seed(1), 64)
    still = Shortcut(times=Dyadic(distinct=0.0))
    found = still(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    wanted = FlowMatching()(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    torch.testing.assert_close(found, wanted)


def test_dyadic_jumps():
    """Every level as likely, starts on the grid of their own length, inside the interval."""
    s, e, moving = Dyadic(levels=3, distinct=0.75).sample(8000, generator=torch.Generator().manual_seed(0))
    length = (e - s)[:moving]
    assert moving == 6000 and torch.equal(s[moving:], e[moving:])
    assert length.unique().tolist() == [0.25, 0.5, 1.0]
    assert [int((length == d).sum()) for d in (0.25, 0.5, 1.0)] == [2000, 2000, 2000]
    assert (s[:moving] / length).frac().abs().max() == 0 and e.max() <= 1
    assert int((s[:moving][length == 0.25] == 0.75).sum()) == pytest.approx(500, abs=100)
    s, e, _ = Dyadic().sample(100, (0.1, 0.9))
    assert float(s.min()) >= 0.1 and float(e.max()) <= 0.9 + 1e-6
    for mistake in (lambda: Dyadic(levels=0), lambda: Dyadic(distinct=1.5), lambda: Shortcut(target_decay=1.0)):
        with pytest.raises(InputError):
            mistake()
    with pytest.raises(InputError, match="clamp"):
        Shortcut(clamp=0.0)


def test_targets_come_from_the_average():
    """Bound to another field, the targets are made by that one, without gradient."""
    _, field = perturbed()
    other = Field(TwoTime(MLP(width=8)), Affine(), (2,), {}).double()
    objective = Shortcut(times=Dyadic(distinct=1.0)).with_targets_of(other)
    loss = objective(field, pairs(torch.Generator().manual_seed(0)), field.path)
    assert objective.average is other and float(loss.total) > 0.1  # a new network says zero
    assert all(parameter.grad is None for parameter in other.parameters())


class Labelled(nn.Module):
    """`u(x; s, e)` of a label and a scale: their sum, with -1 for no label."""

    def forward(self, x, t, condition=None):
        return (condition["label"][:, None] + condition["guidance"]).expand_as(x).to(x)

    def mean_velocity(self, x, s, e, condition=None):
        return self(x, s, condition)


def test_intrinsic_guidance():
    """The scale is drawn, told, and enters the pair's velocity once; rows without a label keep theirs."""
    rule = Intrinsic(maximum=3.0)
    schema = rule.schema({"label": Column(("a", "b"))})
    assert schema["guidance"].default == 1.0
    told = rule.told({"label": torch.arange(4000) % 3 - 1}, torch.zeros(4000))
    scale = told["guidance"][:, 0]
    assert (scale[::3] == 1).all() and scale.min() >= 1 and scale.max() <= 3
    assert float(scale[told["label"] >= 0].mean()) == pytest.approx(2.0, abs=0.05)
    field = Field(Labelled(), Affine(), (2,), schema)
    x, c = torch.zeros(3, 2), torch.full((3, 2), 2.0)
    point = PathPoint(torch.full((3,), 0.5), x, c, x, x)
    condition = {"label": torch.tensor([0, 1, -1]), "guidance": torch.tensor([[3.0], [1.0], [1.0]])}
    null = -1 + 1.0
    wanted = torch.tensor([null + 3 * (2 - null), 2.0, 2.0])
    torch.testing.assert_close(rule(field, point, condition, 3)[:, 0], wanted)
    for mistake in ({}, {"guidance": Column()}):
        with pytest.raises(InputError, match="Intrinsic"):
            rule.schema(mistake)
    with pytest.raises(InputError, match="conditions to guide by"):
        rule.told(None, torch.zeros(3))
    with pytest.raises(InputError, match="maximum"):
        Intrinsic(1.0)


def test_haar_wavelets_are_orthonormal():
    """With equal weights the loss is the squared error; details alone bear the weights."""
    d = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(Wavelet((1.0, 1.0, 1.0))(d).sum((1, 2, 3)), d.square().sum((1, 2, 3)))
    flat, chequered = torch.ones(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    chequered[..., ::2] *= -1
    prices = Wavelet((4.0, 2.0))
    assert float(prices(flat).sum()) == pytest.approx(64) and float(prices(chequered).sum()) == pytest.approx(256)
    middle = torch.kron(torch.tensor([1.0, -1.0]).repeat(2), torch.ones(2)).expand(1, 1, 8, 8)
    assert float(prices(middle).sum()) == pytest.approx(128)


def test_where_there_are_no_bands_the_error_is_plain():
    for shape in ((5, 7), (5, 4, 7), (5, 1, 7, 8)):  # a vector, a sequence, an odd side
        d = torch.randn(shape)
        assert torch.equal(Wavelet()(d), d.square())
    with pytest.raises(InputError, match="positive weights"):
        Wavelet((0.0,))


def test_details_weigh_in_the_gradient_and_known_entries_do_not():
    d = torch.ones(1, 1, 4, 4)
    d[..., ::2] *= -1
    said = torch.zeros(1, 1, 4, 4, requires_grad=True)
    mask = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    mask[..., 2:, :] = False
    found = {}
    for distance in (SquaredError(), Wavelet((4.0,)), PseudoHuber(0.1)):
        loss = Regression(said, (d,), Pairs(d, d, mask=mask), (None,), ("velocity",), distance).loss().total
        found[type(distance)] = torch.autograd.grad(loss, said)[0]
        assert (found[type(distance)][..., 2:, :] == 0).all()
    torch.testing.assert_close(found[Wavelet], 4 * found[SquaredError])
    assert found[SquaredError][0, 0, 0, 0] == 2 / 8


def test_described_and_rebuilt():
    for objective in (Shortcut(Intrinsic(), condition_dropout=0.1), Shortcut(distance=Wavelet((3.0,)), clamp=4.0)):
        assert build(describe(objective)) == objective
    assert MeanFlow(condition_dropout=0.1).condition_dropout == 0.1
    assert math.isclose(Dyadic(levels=7).shortest, 1 / 128) and bcast(torch.ones(2), torch.ones(2, 3)).shape == (2, 1)
