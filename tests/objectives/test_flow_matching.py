"""Flow matching: its minimiser is the oracle, and every sample counts for what it should."""

from __future__ import annotations

import math

import pytest
import torch
from tests.helpers import Perturbed, stationarity
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, InterpolantOracle
from pushforward.networks import MLP, Field
from pushforward.objectives import (
    Beta,
    CosMap,
    DensityAsWeight,
    FlowMatching,
    ImportanceCorrected,
    Interval,
    LogitNormal,
    MinSNR,
    Mode,
    Shift,
    TimeLaw,
    Uniform,
    Weighting,
)
from pushforward.paths import (
    VE,
    VP,
    Affine,
    BrownianBridge,
    BrownianGamma,
    CondOT,
    Interpolant,
    LinearVP,
    Polynomial,
    QuadraticGamma,
    SineGamma,
    Trig,
    TrigBlend,
)

KINDS = ("velocity", "data", "noise", "score")
SCHEDULES = [CondOT(), CondOT(0.1), Trig(), LinearVP(), Polynomial(2), VP(), VE(0.1, 5.0)]
SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
# the conditional score, and some velocities, grow without bound at the data end: their gradients have no variance there
AWAY = FlowMatching(Interval(Uniform(), 0.0, 0.9))


def gaussian_pairs(generator: torch.Generator, n: int = 2000) -> Pairs:
    return Pairs(SOURCE.sample(n, generator=generator), TARGET.sample(n, generator=generator), gaussian_source=True)


def scores(objective: FlowMatching, schedule, kind, truth=None) -> torch.Tensor:
    truth = getattr(AffineOracle(SOURCE, TARGET, schedule), kind) if truth is None else truth
    net = Perturbed(truth)
    field = Field(net, Affine(schedule), (2,), {}, predicts=kind, gaussian_source=True)
    return stationarity(objective, field, net.theta, field.path, gaussian_pairs)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_the_oracle_is_stationary(schedule, kind):
    # 112 scores in all: by chance one in six times the largest would exceed 3, one in twenty 3.5
    assert scores(AWAY, schedule, kind).abs().max() < 3.5


@pytest.mark.parametrize("objective", [FlowMatching(), FlowMatching(LogitNormal(), MinSNR()), FlowMatching(Mode())])
def test_times_and_weights_do_not_move_the_minimiser(objective):
    assert scores(objective, CondOT(), "velocity").abs().max() < 3.5


def test_a_wrong_field_is_caught():
    """Controls: a sign slip in time, and the data read as the noise."""
    oracle = AffineOracle(SOURCE, TARGET, CondOT())
    assert scores(AWAY, CondOT(), "velocity", lambda x, t: oracle.velocity(x, 1 - t)).abs().max() > 20
    assert scores(AWAY, CondOT(), "noise", oracle.data).abs().max() > 20
    assert scores(AWAY, CondOT(), "velocity", lambda x, t: 0.97 * oracle.velocity(x, t)).abs().max() > 10


class Zero(nn.Module):
    def forward(self, x, t, condition=None):
        return torch.zeros_like(x)


LAWS = [Uniform(), Uniform(stratified=False), Mode(0.8), Mode(-0.5), CosMap(), Beta(0.8, 0.9), Shift(Uniform(), 2.0)]


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_importance_correction_gives_the_same_expected_loss(law):
    """Zero field, cosine path: the loss is the integral of `(alpha'^2 E|x1|^2 + sigma'^2 E|x0|^2) / d`."""
    field = Field(Zero(), Affine(Trig()), (2,), {})
    generator = torch.Generator().manual_seed(0)
    loss = FlowMatching(law, ImportanceCorrected())(
        field, gaussian_pairs(generator, 200_000), field.path, generator=generator
    )
    expected = (math.pi / 2) ** 2 * (1.0 + (1.5 + 5.0) / 2) / 2
    assert abs(loss.total.item() / expected - 1) < 0.02


def test_without_the_correction_the_law_shows_in_the_loss():
    field = Field(Zero(), Affine(Trig()), (2,), {})
    generator = torch.Generator().manual_seed(0)
    pairs = gaussian_pairs(generator, 50_000)
    drawn = [FlowMatching(law)(field, pairs, field.path, generator=generator).total for law in LAWS[:1] + LAWS[-1:]]
    assert drawn[1] > 1.1 * drawn[0]


def test_density_as_weight_gives_the_loss_of_its_law():
    field = Field(Zero(), Affine(Trig()), (2,), {})
    generator = torch.Generator().manual_seed(0)
    pairs = gaussian_pairs(generator, 50_000)
    drawn = FlowMatching(LogitNormal(1.0, 0.5))(field, pairs, field.path, generator=generator).total
    weighted = FlowMatching(weighting=DensityAsWeight(LogitNormal(1.0, 0.5)))(
        field, pairs, field.path, generator=generator
    )
    torch.testing.assert_close(weighted.total, drawn, rtol=0.03, atol=0)


class Fixed(TimeLaw):
    """All times one half."""

    def times(self, draws):
        t = torch.full((draws.n,), 0.5, dtype=draws.dtype)
        return Times(t, t, torch.zeros_like(t))

    def log_prob(self, t):
        return torch.zeros_like(t)


def at_half(pairs: Pairs, weighting: Weighting | None = None, path=None):
    objective = FlowMatching(Fixed()) if weighting is None else FlowMatching(Fixed(), weighting)
    return objective(Field(Zero(), path or Affine(), (2,), {}), pairs, path or Affine())


X0, X1 = torch.zeros(3, 2).double(), torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 4.0]]).double()


def test_pair_weights_are_normalised_by_their_sum():
    plain, weighted = at_half(Pairs(X0, X1)), at_half(Pairs(X0, X1, weight=torch.tensor([1.0, 0.0, 7.0]).double()))
    torch.testing.assert_close(plain.per_sample, torch.tensor([1.0, 2.0, 8.0]).double())
    assert plain.total == pytest.approx(11 / 3) and weighted.total == pytest.approx((1 + 56) / 8)
    assert not plain.terms  # one term is the total, which the trainer logs as the loss


def test_masked_entries_do_not_count():
    mask = torch.tensor([[True, True], [True, False], [False, False]])
    loss = at_half(Pairs(X0, X1, mask=mask))
    torch.testing.assert_close(loss.per_sample, torch.tensor([1.0, 4.0, 0.0]).double())


class Column2(Weighting):
    def __call__(self, times, path, predicts):
        return times.label[:, None]


def test_factors_of_a_wrong_shape_are_refused():
    with pytest.raises(InputError, match="one number per sample"):
        at_half(Pairs(X0, X1), Column2())
    with pytest.raises(InputError, match="weight has shape"):
        at_half(Pairs(X0, X1, weight=torch.ones(3, 1).double()))
    net = nn.Module()
    net.forward = lambda x, t, condition=None: x[:, :1]  # pyright: ignore
    with pytest.raises(InputError, match="the network returned"):
        FlowMatching()(Field(net, Affine(), (2,), {}), Pairs(X0, X1), Affine())


def test_weighted_and_plain_losses_agree_in_value_and_gradient():
    class One(Weighting):
        def __call__(self, times, path, predicts):
            return torch.ones_like(times.label)

    torch.manual_seed(0)
    field = Field(MLP(8), Affine(), (2,), {})
    nn.init.normal_(field.network.last.weight)
    pairs, results = Pairs(torch.randn(16, 2), torch.randn(16, 2)), []
    for objective in (FlowMatching(), FlowMatching(weighting=One())):
        loss = objective(field, pairs, field.path, generator=torch.Generator().manual_seed(3))
        results.append((loss.total, loss.per_sample, *torch.autograd.grad(loss.total, list(field.parameters()))))
    torch.testing.assert_close(results[0], results[1])


def test_heads_train_like_networks_of_their_own():
    """Two heads: each has the gradient, halved, of a field that predicts its kind alone, and its own time weight."""
    torch.manual_seed(0)
    pairs = Pairs(torch.randn(16, 3), torch.randn(16, 3), weight=torch.rand(16), mask=torch.rand(16, 3) > 0.3)
    both = Field(MLP(8), Affine(), (3,), {}, predicts="velocity,data")
    nn.init.normal_(both.network.last.weight)
    objective, seed = FlowMatching(weighting=MinSNR()), torch.Generator()
    loss = objective(both, pairs, both.path, generator=seed.manual_seed(3))
    assert set(loss.terms) == {"velocity", "data"} and loss.per_sample is not None and len(loss.per_sample) == 16
    (joint,) = torch.autograd.grad(loss.total, both.network.last.weight)
    for number, kind in enumerate(both.predicts):
        own = Field(MLP(8), Affine(), (3,), {}, predicts=kind)
        rows = slice(3 * number, 3 * number + 3)
        state = {k: v[rows] if k.startswith("last") else v for k, v in both.network.state_dict().items()}
        own.network.load_state_dict(state)
        alone = objective(own, pairs, own.path, generator=seed.manual_seed(3))
        torch.testing.assert_close(alone.total.detach(), loss.terms[kind])
        (gradient,) = torch.autograd.grad(alone.total, own.network.last.weight)
        torch.testing.assert_close(joint[rows], gradient / 2)


INTERPOLANTS = [Interpolant(), Interpolant(TrigBlend(), SineGamma(0.6)), Interpolant(gamma=QuadraticGamma())]


@pytest.mark.parametrize("antithetic", [False, True])
@pytest.mark.parametrize("kind", ["velocity", "drift", "denoiser", "score"])
@pytest.mark.parametrize("path", INTERPOLANTS, ids=repr)
def test_the_oracle_of_an_interpolant_is_stationary(path, kind, antithetic):
    """Away from the ends, where a single score target has no variance; 24 tests of 4 scores."""
    source = Gaussian(torch.tensor([-1.0, 0.0]).double(), torch.tensor([[0.5, -0.2], [-0.2, 0.8]]).double())
    oracle = InterpolantOracle(source, TARGET, path.coefficients)
    net = Perturbed(getattr(oracle, kind))
    field = Field(net, path, (2,), {}, predicts=kind)

    def draw(generator):
        return Pairs(source.sample(1000, generator=generator), TARGET.sample(1000, generator=generator))

    objective = FlowMatching(Interval(Uniform(), 0.1, 0.9), antithetic=antithetic)
    assert stationarity(objective, field, net.theta, path, draw).abs().max() < 3.6


@pytest.mark.parametrize("kind", ["velocity", "score"])
def test_antithetic_pairs_tame_the_gradient_at_the_ends(kind):
    """At t = 1e-3 .. 0.02 gradients vary far less than those of twice as many independent points."""
    path = Interpolant(gamma=BrownianGamma())
    oracle = InterpolantOracle(Gaussian(torch.zeros(2).double()), TARGET, path.coefficients)
    net = Perturbed(getattr(oracle, kind))
    field = Field(net, path, (2,), {}, predicts=kind)
    spreads = []
    for objective, rows in ((FlowMatching(NEAR), 128), (FlowMatching(NEAR, antithetic=True), 64)):
        generator = torch.Generator().manual_seed(0)
        losses = [objective(field, gaussian_pairs(generator, rows), path, generator=generator) for _ in range(60)]
        gradients = torch.stack([torch.autograd.grad(loss.total, net.theta)[0] for loss in losses])
        spreads.append(gradients.var(0))
        assert losses[0].per_sample is not None and len(losses[0].per_sample) == rows
    assert (spreads[1] < 0.2 * spreads[0])[1:].all()


NEAR = Interval(Uniform(), 0.0, 0.02)


def test_antithetic_pairs_of_an_affine_path_need_noise():
    field = Field(Zero(), Affine(), (2,), {}, predicts="noise", gaussian_source=True)
    pairs = Pairs(X0 + 1, X1, gaussian_source=True, weight=torch.tensor([1.0, 0.0, 7.0]).double())
    single, double = (FlowMatching(Fixed(), antithetic=both)(field, pairs, Affine()) for both in (False, True))
    torch.testing.assert_close(single.total, double.total)  # |x0|^2 is |-x0|^2
    torch.testing.assert_close(single.per_sample, double.per_sample)
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        FlowMatching(antithetic=True)(field, Pairs(X0, X1), Affine())


def test_times_stay_inside_the_path():
    seen = []

    class Watch(nn.Module):
        def forward(self, x, t, condition=None):
            seen.append(t)
            return torch.zeros_like(x)

    path = BrownianBridge(0.5)
    field = Field(Watch(), path, (2,), {})
    for law in (Uniform(), LogitNormal(0.0, 30.0)):
        loss = FlowMatching(law)(field, Pairs(X0.repeat(300, 1), X1.repeat(300, 1)), path)
        assert torch.isfinite(loss.total)
    times = torch.cat(seen)
    assert times.min() >= path.interval[0] and times.max() <= path.interval[1]


def test_conditions_are_dropped_per_row():
    seen = []

    class Watch(nn.Module):
        def forward(self, x, t, condition=None):
            seen.append(condition["label"])
            return torch.zeros_like(x)

    condition = {"label": torch.arange(1000) % 3}
    pairs = Pairs(torch.zeros(1000, 2), torch.zeros(1000, 2), condition)
    field = Field(Watch(), Affine(), (2,), {"label": Column(("a", "b", "c"))})
    generator = torch.Generator().manual_seed(0)
    FlowMatching(condition_dropout=0.3)(field, pairs, field.path, generator=generator)
    FlowMatching()(field, pairs, field.path, generator=generator)
    dropped = seen[0] < 0
    assert 250 < dropped.sum() < 350 and torch.equal(seen[0][~dropped], condition["label"][~dropped])
    assert torch.equal(seen[1], condition["label"])
    with pytest.raises(InputError, match="probability"):
        FlowMatching(condition_dropout=1.5)


def test_scores_are_refused_without_a_gaussian_source():
    field = Field(Zero(), Affine(), (2,), {}, predicts="score")
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        FlowMatching()(field, Pairs(X0, X1), field.path)


def test_seed_decides_and_description_round_trips():
    objective = FlowMatching(Shift(LogitNormal(), 2.0), MinSNR(3.0), 0.1)
    assert build(describe(objective)) == objective
    field = Field(Zero(), Affine(), (2,), {})
    pairs = Pairs(torch.randn(8, 2), torch.randn(8, 2))
    first, second = (objective(field, pairs, field.path, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.total, second.total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_and_dtypes(dtype):
    field = Field(MLP(8), Affine(), (1, 4, 4), {}).to(dtype)
    loss = FlowMatching()(field, Pairs(*torch.randn(2, 5, 1, 4, 4, dtype=dtype)), field.path)
    assert loss.total.dtype == dtype
    loss.total.backward()
