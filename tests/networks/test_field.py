"""Fields convert what they predict, and guidance mixes what it should."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import Recorded, build, describe
from pushforward.contracts import Path
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, ClassifierFree, Field, UNet
from pushforward.paths import Affine, BrownianBridge, CondOT, LinearVP, Trig

KINDS = ("velocity", "data", "noise", "score", "denoiser")
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
SOURCE = Gaussian(torch.zeros(2).double())


def answer(oracle: AffineOracle, kind: str):
    """The closed form of a prediction; the noise of an affine path is its source."""
    return getattr(oracle, {"denoiser": "noise", "drift": "velocity"}.get(kind, kind))


class Known(nn.Module):
    """A network that knows the answer and remembers the times it was asked at."""

    def __init__(self, oracle: AffineOracle, kind: str) -> None:
        super().__init__()
        self.ask = answer(oracle, kind)
        self.times: torch.Tensor | None = None

    def forward(self, x, t, condition=None):
        self.times = t
        return self.ask(x, t)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", [CondOT(), Trig(), LinearVP()])
def test_every_prediction_gives_every_other(schedule, kind):
    oracle = AffineOracle(SOURCE, TARGET, schedule)
    field = Field(Known(oracle, kind), Affine(schedule), (2,), {}, predicts=kind, gaussian_source=True)
    t = torch.linspace(0.05, 0.95, 50).double()
    x = oracle.sample(50, t)
    assert torch.equal(field(x, t), answer(oracle, kind)(x, t))
    for other in KINDS:
        torch.testing.assert_close(getattr(field, other)(x, t), answer(oracle, other)(x, t), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_conversions_are_finite_and_near_the_truth_at_both_ends(kind):
    oracle = AffineOracle(SOURCE, TARGET, CondOT())
    field = Field(Known(oracle, kind), Affine(), (2,), {}, predicts=kind, gaussian_source=True)
    t = torch.tensor([0.0, 1.0]).double()
    x = oracle.sample(2, t)
    for other in KINDS:
        torch.testing.assert_close(getattr(field, other)(x, t), answer(oracle, other)(x, t), rtol=0.02, atol=0.02)


def test_heads_serve_their_own_kind_and_the_first_that_converts_the_others():
    calls = []

    class Three(nn.Module):
        def forward(self, x, t, condition=None):
            calls.append(len(x))
            return torch.cat([x, 2 * x, 3 * x], 1)

    field = Field(Three(), Affine(), (1, 4, 4), {}, predicts="score, data, velocity")
    assert field.predicts == ("score", "data", "velocity")
    x, t = torch.randn(5, 1, 4, 4), torch.full((5,), 0.5)
    assert field(x, t).shape == (5, 3, 4, 4)
    assert torch.equal(field.data(x, t), 2 * x) and torch.equal(field.velocity(x, t), 3 * x)
    calls.clear()
    velocity, score = field.velocity_and_score(x, t)
    assert torch.equal(velocity, 3 * x) and torch.equal(score, x) and calls == [5]
    # the score is no way to the noise under this coupling, so it comes from the data: (x - t x1) / (1 - t)
    torch.testing.assert_close(field.noise(x, t), (x - 0.5 * 2 * x) / 0.5)
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        field.denoiser(x, t)
    bridge = Field(Three(), BrownianBridge(), (1, 4, 4), {}, predicts=["score", "data", "velocity"])
    assert torch.equal(bridge.score(x, t), x)


@pytest.mark.parametrize(("network", "event"), [(MLP(8), (3,)), (MLP(8), (2, 3, 3)), (UNet(channels=4), (2, 8, 8))])
def test_architectures_build_heads(network, event):
    field = Field(network, Affine(), event, {}, predicts=("velocity", "data"), gaussian_source=True)
    assert field(torch.randn(4, *event), torch.rand(4)).shape == (4, 2 * event[0], *event[1:])
    assert field.data(torch.randn(4, *event), torch.rand(4)).shape == (4, *event)
    again = build(describe(field))
    assert (
        again.predicts == ("velocity", "data")
        and again.network.state_dict().keys() == field.network.state_dict().keys()
    )


def test_times_are_clamped_to_the_path():
    oracle = AffineOracle(SOURCE, TARGET, LinearVP())
    net = Known(oracle, "velocity")
    Field(net, Affine(LinearVP()), (2,), {}).velocity(torch.zeros(2, 2).double(), torch.tensor([0.0, 1.0]).double())
    assert net.times is not None and net.times.max() == LinearVP().interval[1]


def test_scores_need_a_gaussian_source():
    x, t = torch.zeros(1, 2), torch.full((1,), 0.5)
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        Field(MLP(8), Affine(), (2,), {}).score(x, t)
    with pytest.raises(InputError, match="N\\(0, I\\)"):
        Field(MLP(8), Affine(), (2,), {}, predicts="score").velocity(x, t)
    assert Field(MLP(8), BrownianBridge(), (2,), {}, predicts="score").score(x, t).shape == (1, 2)
    with pytest.raises(InputError, match="velocty"):
        Field(MLP(8), Affine(), (2,), {}, predicts="velocty")
    with pytest.raises(InputError, match="none twice"):
        Field(MLP(8), Affine(), (2,), {}, predicts="data,data")


def test_describe_and_build_round_trip():
    field = Field(MLP(8), Affine(Trig()), (2,), {"label": Column(("a", "b"))}, predicts="data", gaussian_source=True)
    again = build(describe(field))
    again.load_state_dict(field.state_dict())
    x, t, c = torch.randn(3, 2), torch.rand(3), {"label": torch.tensor([0, 1, -1])}
    assert torch.equal(again(x, t, c), field(x, t, c))
    assert describe(again) == describe(field) and again.path == field.path and again.event_shape == (2,)
    assert torch.equal(copy.deepcopy(field)(x, t, c), field(x, t, c))


class Slanted(Recorded, nn.Module, Path):
    """A path with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def point(self, pairs, times, *, generator=None):
        raise NotImplementedError

    def target(self, point, kind, *, gaussian_source=False):
        raise NotImplementedError

    def convert(self, value, x, t, src, dst, *, gaussian_source=False):
        return self.slope * value


def test_a_trainable_path_belongs_to_the_field():
    field = Field(MLP(8), Slanted(), (2,), {})
    assert "path.slope" in dict(field.named_parameters())


class Labelled(nn.Module):
    """Velocity 10 x category, or -1 where the condition is absent; counts its evaluations."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def forward(self, x, t, condition=None):
        self.rows.append(len(x))
        code = torch.full_like(t, -1) if condition is None else condition["label"].to(x.dtype)
        return torch.where(code < 0, -1.0, 10 * code)[:, None].expand_as(x)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_guidance_is_the_formula_on_its_interval_in_one_evaluation(scale):
    net = Labelled()
    field = Field(net, Affine(), (1,), {"label": Column(("a", "b"))}, gaussian_source=True)
    guided = ClassifierFree(field, scale, (0.25, 0.75))
    t = torch.tensor([0.1, 0.25, 0.5, 0.9])
    got = guided.velocity(torch.zeros(4, 1), t, {"label": torch.tensor([1, 1, 0, 1])})[:, 0]
    torch.testing.assert_close(got, torch.tensor([10.0, -1 + scale * 11, -1 + scale * 1, 10.0]))
    assert net.rows == [4 if scale == 1 else 8]
    whole = ClassifierFree(field, scale).velocity(torch.zeros(4, 1), t, {"label": torch.full((4,), 1)})
    torch.testing.assert_close(whole, torch.full((4, 1), -1 + scale * 11))
    # without a condition there is nothing to guide
    assert torch.equal(guided.velocity(torch.zeros(4, 1), t), torch.full((4, 1), -1.0)) and net.rows[-1] == 4


def test_guided_scores_convert_like_guided_velocities():
    """Score and velocity are affine in each other, so guiding one guides the other."""
    field = Field(Labelled(), Affine(), (1,), {"label": Column(("a", "b"))}, gaussian_source=True)
    guided = ClassifierFree(field, 3.0)
    x, t, c = torch.randn(5, 1), torch.rand(5) * 0.9, {"label": torch.ones(5, dtype=torch.long)}
    expected = field.path.convert(guided.velocity(x, t, c), x, t, "velocity", "score", gaussian_source=True)
    torch.testing.assert_close(guided.score(x, t, c), expected, rtol=1e-4, atol=1e-4)


def test_guidance_refuses_an_empty_interval():
    with pytest.raises(InputError, match="interval"):
        ClassifierFree(Field(MLP(8), Affine(), (2,), {}), 2.0, (0.8, 0.2))


def test_velocity_and_score_come_from_one_evaluation():
    calls = []

    class Counting(torch.nn.Module):
        def forward(self, x, t, condition=None):
            calls.append(len(x))
            return torch.sin(x) + t[:, None]

    field = Field(Counting(), Affine(), (2,), {}, gaussian_source=True)
    x, t = torch.randn(5, 2), torch.linspace(0.1, 0.9, 5)
    velocity, score = field.velocity_and_score(x, t)
    assert len(calls) == 1
    torch.testing.assert_close(velocity, field.velocity(x, t))
    torch.testing.assert_close(score, field.score(x, t))
