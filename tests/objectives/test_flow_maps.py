"""Objectives of flow maps: the closed-form map of two Gaussians is where they come to rest."""

import dataclasses
import math
import warnings

import pytest
import torch
from tests.helpers import PerturbedMap, stationarity
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, PathPoint, TwoTimeField
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Field, TwoTime
from pushforward.objectives import (
    Adaptive,
    AlphaFlow,
    Conditional,
    Diagonal,
    EulerianTarget,
    FlowMatching,
    Guided,
    Held,
    MapTarget,
    MeanFlow,
    ModularMeanFlow,
    Rising,
    Sigmoidal,
    Taught,
    TimePairs,
    Uniform,
    total_derivative,
)
from pushforward.objectives.flow_maps.map_regression import MapRegression
from pushforward.paths import VP, Affine, CondOT
from pushforward.tensors import bcast

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([2.0, -1.0]).double(), torch.diag(torch.tensor([0.09, 4.0])).double())
ORACLE = AffineOracle(SOURCE, TARGET, CondOT())
TIMES, PLAIN = TimePairs(Uniform(), 0.75), Adaptive(0.0)


def pairs(generator: torch.Generator, n: int = 4000) -> Pairs:
    return Pairs(SOURCE.sample(n, generator=generator), TARGET.sample(n, generator=generator), gaussian_source=True)


def scores(objective) -> torch.Tensor:
    net = PerturbedMap(ORACLE.mean_velocity)
    field = Field(net, Affine(), (2,), {})
    return stationarity(objective, field, net.theta, field.path, pairs, batches=20)


def test_the_oracle_meets_all_three_identities():
    """Eulerian, Lagrangian and semigroup, to 1e-10; with a minus the Eulerian one is off by much."""
    g = torch.Generator().manual_seed(0)
    s, m, e = torch.rand(3, 500, generator=g).double().sort(0).values
    x, u = ORACLE.sample(500, s, generator=g), ORACLE.mean_velocity
    v = ORACLE.velocity(x, s)
    along = torch.func.jvp(u, (x, s, e), (v, torch.ones_like(s), torch.zeros_like(e)))[1]
    in_end = torch.func.jvp(lambda e: u(x, s, e), (e,), (torch.ones_like(e),))[1]
    whole, gap = u(x, s, e), bcast(e - s, x)
    assert (whole - v - gap * along).abs().max() < 1e-10
    assert (whole + gap * in_end - ORACLE.velocity(x + gap * whole, e)).abs().max() < 1e-10
    first = bcast(m - s, x) * u(x, s, m)
    assert (gap * whole - first - bcast(e - m, x) * u(x + first, m, e)).abs().max() < 1e-10
    assert (whole - v + gap * along).abs().max() > 1
    assert isinstance(ORACLE, TwoTimeField)


@pytest.mark.parametrize(
    "objective",
    [
        MeanFlow(times=TIMES, weighting=PLAIN),
        MeanFlow(),
        MeanFlow(times=TIMES, weighting=Adaptive(0.5)),
        MeanFlow(Diagonal(), TIMES, PLAIN),
        AlphaFlow(times=TIMES, weighting=PLAIN, curriculum=Held(0.0)),
        ModularMeanFlow(times=TIMES, weighting=PLAIN, curriculum=Held(0.0)),
        ModularMeanFlow(times=TIMES, weighting=PLAIN, curriculum=Held(0.5)),
        ModularMeanFlow(times=TIMES, weighting=PLAIN, curriculum=Held(1.0)),
    ],
    ids=str,
)
def test_the_map_of_two_gaussians_is_stationary(objective):
    assert scores(objective).abs().max() < 3.5


def test_modulated_gradients_need_the_mean_velocity():
    """With the velocity of the pair in its place the loss has a variance that the parameters can lower."""
    for fraction in (0.5, 1.0):
        biased = ModularMeanFlow(Conditional(), TIMES, PLAIN, curriculum=Held(fraction))
        assert scores(biased)[[0, 2]].abs().min() > 10


@dataclasses.dataclass(frozen=True)
class Slipped(MapTarget):
    """The Eulerian target with a minus, or with the derivative in the wrong slot."""

    sign: float
    slot: bool

    def __call__(self, u, way):
        x, s, e, v, _ = way
        swapped = (lambda x, e, s: u(x, s, e)) if self.slot else u
        at = (e, s) if self.slot else (s, e)
        return v + self.sign * bcast(e - s, x) * total_derivative(swapped, x, *at, v)


@pytest.mark.parametrize("rule", [Slipped(-1, False), Slipped(1, True)], ids=["sign", "slot"])
def test_slips_of_sign_and_slot_are_caught(rule):
    assert scores(MapRegression(rule, Conditional(), TIMES, PLAIN)).abs().max() > 20


def test_the_bias_of_alpha_flow_is_of_order_alpha():
    biased = [float(scores(AlphaFlow(times=TIMES, weighting=PLAIN, curriculum=Held(a)))[2]) for a in (0.5, 0.05)]
    assert biased[0] > 20 and 2.5 < biased[1] < biased[0] / 3


def small_field(seed: int = 0) -> Field:
    torch.manual_seed(seed)
    field = Field(TwoTime(MLP(width=16, depth=2)), Affine(), (2,), {}).double()
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return field


def gradient(objective, field: Field, n: int = 64) -> torch.Tensor:
    batch = pairs(torch.Generator().manual_seed(1), n)
    total = objective(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
    return torch.cat([g.flatten() for g in torch.autograd.grad(total, list(field.parameters()))])


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_alpha_flow_tends_to_mean_flow(power):
    """The gradient's gap shrinks tenfold with alpha, weights by the error included."""
    field, shared = small_field(), {"times": TIMES, "weighting": Adaptive(power)}
    exact = gradient(MeanFlow(**shared), field)
    near = [gradient(AlphaFlow(**shared, curriculum=Held(a)), field) for a in (1e-2, 1e-3, 1e-4)]
    gaps = [float((each - exact).norm() / exact.norm()) for each in near]
    assert torch.cosine_similarity(near[1], exact, dim=0) > 0.999
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.1) and gaps[1] / gaps[2] == pytest.approx(10, rel=0.1)


def test_alpha_flow_is_the_papers_loss_over_alpha():
    """Against the formula written out: `|u - sg[alpha v + (1 - alpha) u(x_m; m, e)]|^2 / alpha`."""
    field, alpha = small_field(), 0.3
    batch = pairs(torch.Generator().manual_seed(1), 64)
    s, e, _ = TimePairs(Uniform(), 1.0).sample(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x, v = torch.lerp(batch.x0, batch.x1, s[:, None]), batch.x1 - batch.x0
    m = s + alpha * (e - s)
    with torch.no_grad():
        target = alpha * v + (1 - alpha) * field.mean_velocity(x + (m - s)[:, None] * v, m, e)
    loss = (field.mean_velocity(x, s, e) - target).square().mean() / alpha
    wanted = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(field.parameters()))])
    objective = AlphaFlow(times=TimePairs(Uniform(), 1.0), weighting=PLAIN, curriculum=Held(alpha))
    torch.testing.assert_close(gradient(objective, field), wanted)


def test_without_jumps_all_are_flow_matching():
    """Rows with s = e, and alpha = 1 for every e."""
    field, still = small_field(), TimePairs(Uniform(), 0.0)
    batch = pairs(torch.Generator().manual_seed(1), 64)
    for objective in (MeanFlow(times=still), AlphaFlow(times=still), ModularMeanFlow(times=still)):
        plain = dataclasses.replace(objective, weighting=PLAIN)
        loss = plain(field, batch, field.path, generator=torch.Generator().manual_seed(2)).total
        s, _, _ = still.sample(64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        x = torch.lerp(batch.x0, batch.x1, s[:, None])
        wanted = (field(x, s) - batch.x1 + batch.x0).square().mean()
        torch.testing.assert_close(loss, wanted)
    first = AlphaFlow(times=TIMES, weighting=PLAIN).at(0.0)(field, batch, field.path)
    assert first.total.requires_grad and torch.isfinite(first.total)
    assert FlowMatching()(field, batch, field.path).total.requires_grad  # the diagonal is a velocity like any other


def test_derivative_in_forward_mode_is_that_of_autograd():
    field, g = small_field(), torch.Generator().manual_seed(0)
    x, v = torch.randn(2, 5, 2, generator=g).double()
    s, e = torch.rand(2, 5, generator=g).double().sort(0).values
    wanted = torch.autograd.functional.jvp(
        field.mean_velocity, (x, s, e), (v, torch.ones_like(s), torch.zeros_like(e))
    )[1]
    found = total_derivative(field.mean_velocity, x, s, e, v, graph=True)
    torch.testing.assert_close(found, wanted)
    assert not total_derivative(field.mean_velocity, x, s, e, v).requires_grad
    slopes = torch.autograd.grad(found.square().sum(), field.network.get_parameter("network.last.weight"))[0]
    assert slopes.norm() > 0


class NoForwardMode(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        return g


def test_falls_back_to_differences_and_says_so_once():
    x, s, e = torch.randn(5, 2).double(), torch.rand(5).double(), torch.ones(5).double()
    u = lambda x, s, e: NoForwardMode.apply(x) * bcast(e - s, x)  # noqa: E731
    v = torch.ones_like(x)
    with pytest.warns(UserWarning, match="central differences"):
        found = total_derivative(u, x, s, e, v)
    torch.testing.assert_close(found, x.cos() * bcast(e - s, x) - x.sin(), atol=1e-4, rtol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        total_derivative(u, x, s, e, v)
    with pytest.raises(RuntimeError, match=r"shapes|size"):  # other mistakes are not swallowed
        total_derivative(lambda x, s, e: x @ x, x, s, e, v)


def test_time_pairs():
    """Sorted, as many distinct as said, squeezed into the path's interval; the law of the smaller of two."""
    s, e, moving = TimePairs(Uniform(), 0.25).sample(4000, (0.1, 0.9))
    assert moving == 1000 and (s <= e).all() and torch.equal(s[1000:], e[1000:]) and (s[:1000] < e[:1000]).all()
    assert float(s.min()) >= 0.1 and float(e.max()) <= 0.9
    assert float(s.mean()) == pytest.approx(0.1 + 0.8 / 3, abs=0.02)
    with pytest.raises(InputError, match="fraction"):
        TimePairs(distinct=1.5)


def test_adaptive_weights():
    error = torch.tensor([0.0, 1.0], requires_grad=True)
    weight = Adaptive(1.0, 0.01)(error, 2)
    assert weight is not None and not weight.requires_grad
    torch.testing.assert_close(weight, torch.tensor([100.0, 1 / 2.01]))
    assert Adaptive(0.0)(error, 2) is None


def test_curricula():
    assert [Rising(0.2, 0.4, 0.5)(p) for p in (0.0, 0.2, 0.4, 1.0)] == [0, 0, 0.5, 0.5]
    sigmoid = Sigmoidal()
    assert sigmoid(0.0) == 1 and sigmoid(0.5) == 0.5 and sigmoid(1.0) == 0
    assert sigmoid(0.6) == pytest.approx(1 - 1 / (1 + math.exp(-2.5)))
    assert type(AlphaFlow().target(1.0)) is EulerianTarget and ModularMeanFlow().target(0.0) == EulerianTarget(0.0)
    assert ModularMeanFlow().at(0.0).velocity == Conditional() and ModularMeanFlow().at(1.0).velocity == Diagonal()
    with pytest.raises(InputError, match="begins before"):
        Rising(0.4, 0.4)


class Labelled(nn.Module):
    """`u(x; s, e)` of a label: 3 for its row, 1 without one."""

    def forward(self, x, t, condition=None):
        return torch.where(condition["label"][:, None] < 0, 1.0, 3.0).expand_as(x).to(x)

    def mean_velocity(self, x, s, e, condition=None):
        return self(x, s, condition)


def test_guidance_is_built_into_the_velocity():
    field = Field(Labelled(), Affine(), (2,), {"label": Column(("a", "b"))})
    x, c = torch.zeros(4, 2), torch.full((4, 2), 2.0)
    point = PathPoint(torch.tensor([0.1, 0.5, 0.5, 0.9]), x, c, x, x)
    condition = {"label": torch.tensor([0, 1, -1, 0])}
    found = Guided(omega=2.0, kappa=0.5, interval=(0.2, 1.0))(field, point, condition, 2)
    wanted = 2.0 * 2 + (1 - 2.0 - 0.5) * 1 + 0.5 * 3
    torch.testing.assert_close(found[:, 0], torch.tensor([2.0, wanted, 2.0, wanted]))
    with pytest.raises(InputError, match="conditions"):
        Guided()(field, point, None, 2)


def test_mistakes_and_descriptions():
    for objective in (MeanFlow(Guided()), AlphaFlow(), ModularMeanFlow(Taught())):
        assert build(describe(objective)) == objective
    field = Field(MLP(width=8), Affine(), (2,), {})
    batch = Pairs(torch.randn(8, 2), torch.randn(8, 2))
    with pytest.raises(InputError, match="told one time"):
        MeanFlow()(field, batch, field.path)
    data = Field(TwoTime(MLP(width=8)), Affine(), (2,), {}, predicts="data")
    with pytest.raises(InputError, match="flow maps are velocities"):
        MeanFlow()(data, batch, data.path)
    with pytest.raises(InputError, match="no flow yet"):
        MeanFlow(Taught())(Field(TwoTime(MLP(width=8)), Affine(), (2,), {}), batch, field.path)


def test_other_paths_masks_and_weights():
    """A curved path, known entries and weighted pairs: the loss is a number, known entries have no part in it."""
    field = Field(TwoTime(MLP(width=8)), Affine(VP()), (2,), {})
    mask = torch.tensor([[True, False]]).expand(16, 2)
    batch = Pairs(torch.randn(16, 2), torch.randn(16, 2), weight=torch.rand(16), mask=mask)
    g = lambda: torch.Generator().manual_seed(0)  # noqa: E731
    for objective in (MeanFlow(), AlphaFlow(curriculum=Held(0.5)), ModularMeanFlow()):
        total = objective(field, batch, field.path, generator=g()).total
        assert torch.isfinite(total)
