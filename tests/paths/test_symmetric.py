"""Symmetric flows: with the exact velocity one step back is the posterior; codecs go there and back."""

import numpy as np
import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import Column, encode, infer_schema
from pushforward.configuration import Recorded, build, describe
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import Empirical, Gaussian, OneHot, OneHotMask, Ordinal, PairedOracle, Planes, digits
from pushforward.networks import MLP, Field, UNet
from pushforward.objectives import FlowMatching, SymmetricMatching
from pushforward.paths import Affine, CondOT, Symmetric, Trig

MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [1.0, -1.0]])
VARIANCES = torch.tensor([[1.0, 0.5], [0.5, 1.0], [1.0, 1.0]])
PROBABILITY = torch.tensor([0.5, 0.2, 0.3])
SCHEMA = {"label": Column(("a", "b", "c"))}


class Exact(nn.Module, Recorded):
    """The exact velocity of points and one-hot labels, for Gaussian classes in the plane."""

    def __init__(self, schedule=None):
        super().__init__()
        hot, zero = 2 * torch.eye(3) - 1, torch.zeros(3, 3)
        source = torch.cat([torch.zeros(3, 2), hot], 1), torch.cat([torch.ones(3, 2), zero], 1)
        target = torch.cat([MEANS, zero], 1), torch.cat([VARIANCES, zero + 1], 1)
        self.oracle = PairedOracle(PROBABILITY, *source, *target, schedule or CondOT())

    def forward(self, x, t, condition=None):
        return self.oracle.velocity(x, t)


def exact_posterior(x):
    log = torch.stack(
        [Gaussian(m, v.diag()).log_prob(x) + p.log() for m, v, p in zip(MEANS, VARIANCES, PROBABILITY, strict=True)], 1
    )
    return log.softmax(1)


def exact_transport(path=None):
    path = path or Symmetric()
    return FlowTransport(Field(Exact(path.path.schedule), path, (2,), SCHEMA), source=Gaussian.standard(2))


@pytest.mark.parametrize("schedule", [CondOT(), Trig()], ids=repr)
def test_one_exact_step_back_is_the_posterior(schedule):
    """`xi - v_y = E[y | x]` for straight lines; on any schedule the noise end of the velocity is."""
    transport = exact_transport(Symmetric(path=Affine(schedule)))
    x = 2 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    state = transport.field.path.with_noise(x, generator=torch.Generator().manual_seed(1))
    ends = transport.field.noise(state, torch.ones(500))
    expected = OneHot().expected(ends[:, 2:], SCHEMA["label"])
    torch.testing.assert_close(expected, exact_posterior(x), rtol=0, atol=1e-4)
    if isinstance(schedule, CondOT):
        found = transport.label(x, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(found.expected["label"], exact_posterior(x), rtol=0, atol=1e-4)
        assert found.values["label"].tolist() == [("a", "b", "c")[k] for k in exact_posterior(x).argmax(1)]


def test_many_steps_draw_a_label_and_their_average_is_the_posterior():
    """The flow is exact in law: many steps back end at one label, each as often as the posterior says."""
    transport, x = exact_transport(), torch.tensor([[0.3, 0.2]]).expand(2000, 2)
    ends = transport.label(x, steps=200, generator=torch.Generator().manual_seed(0)).expected["label"]
    assert (ends.max(1).values > 0.9).float().mean() > 0.9  # nearly always one of the labels
    averaged = transport.label(x[:4], steps=1, draws=3, generator=torch.Generator().manual_seed(0)).expected["label"]
    torch.testing.assert_close(averaged, exact_posterior(x[:4]), rtol=0, atol=1e-4)


def test_points_run_forwards_and_labels_backwards():
    path = Symmetric().built((2, 4, 4), SCHEMA | {"mask": Column(None, 16)})
    assert path.channels == 4 and path.target_end.shape((2, 4, 4)) == path.source_end.shape((2, 4, 4)) == (6, 4, 4)
    condition = {"label": torch.tensor([0, 2, -1]), "mask": torch.rand(3, 16)}
    pairs = Pairs(torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4), condition)
    for time, ends in ((0.0, (pairs.x0, True)), (1.0, (pairs.x1, False))):
        t = torch.full((3,), time)
        point = path.point(pairs, Times(t, t, t), generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(point.x[:, :2], ends[0])
        torch.testing.assert_close(point.v[:, :2], pairs.x1 - pairs.x0)
        clean = torch.cat(path.labels(condition, pairs.x1), 1)
        assert torch.allclose(point.x[:, 2:], clean) == ends[1]
        torch.testing.assert_close(point.x0[:, 2:], clean)
        torch.testing.assert_close(path.read(path.source_end.encode(pairs.x0, condition))["mask"], clean[:, 3:])
    start = path.source_end.encode(pairs.x0, condition)
    torch.testing.assert_close(path.source_end.decode(start), pairs.x0)
    torch.testing.assert_close(path.target_end.decode(path.with_noise(pairs.x1)), pairs.x1)


RAW = {
    "kind": (np.array(["x", "y", "z", "x"]), OneHot(), 3),
    "grade": (np.array([0, 3, 1, 2]), Ordinal(), 1),
    "mask": (np.random.default_rng(0).integers(0, 3, (4, 6)).astype(float), OneHotMask(3), 3),
    "plane": (np.random.default_rng(1).normal(5, 2, (4, 6)), Planes(), 1),
    "numbers": (np.random.default_rng(2).normal(5, 2, (4, 2)), Planes(levels=256), 2),
}


@pytest.mark.parametrize("name", RAW)
def test_a_codec_goes_there_and_back(name):
    values, codec, channels = RAW[name]
    column = infer_schema({name: values})[name]
    codes = encode({name: values}, {name: column}, 4)[name]
    assert codec.channels(column, (2, 3)) == channels
    channels_of = codec.encode(codes, column, (2, 3))
    assert channels_of.shape == (4, channels, 2, 3) and channels_of.abs().mean() < 2
    noisy = codec.dither(channels_of, column, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noisy, channels_of) == (name not in ("grade", "numbers"))
    for state in (channels_of, noisy):
        back = codec.decode(codec.expected(state, column), column)
        tolerance = 0.05 if name == "numbers" else 1e-5
        torch.testing.assert_close(back.reshape(codes.shape).to(codes.dtype), codes, rtol=0, atol=tolerance)
    assert build(describe(codec)) == codec


def test_being_unsure_between_two_labels_is_not_a_third():
    """Half of the first and half of the last: one-hot channels say so, an ordinal plane says the middle."""
    column, codes = Column((0, 1, 2)), torch.tensor([0, 2])
    half = OneHot().encode(codes, column, ()).mean(0, keepdim=True)
    torch.testing.assert_close(OneHot().expected(half, column), torch.tensor([[0.5, 0.0, 0.5]]), rtol=0, atol=1e-4)
    assert (
        Ordinal().decode(Ordinal().expected(Ordinal().encode(codes, column, ()).mean(0, keepdim=True), column), column)
        == 1
    )
    uniform = OneHot().expected(OneHot().encode(torch.tensor([-1]), column, (2, 2)), column)
    torch.testing.assert_close(uniform, torch.full((1, 3), 1 / 3))


def test_each_block_is_weighed_by_itself():
    """The loss is the weighted mean of the two block means, whatever the number of channels; heads too."""
    path = Symmetric()
    field = Field(MLP(width=8, depth=1), path, (2,), SCHEMA, ("velocity", "data"))
    assert field.network.condition is None  # told nothing
    pairs = Pairs(torch.randn(8, 2), torch.randn(8, 2), {"label": torch.arange(8) % 3})
    loss = SymmetricMatching(0.8)(field, pairs, field.path, generator=torch.Generator().manual_seed(0))
    regression = FlowMatching().regression(field, pairs, field.path, generator=torch.Generator().manual_seed(0))
    error = (regression.prediction.reshape(8, 2, 5) - torch.stack(regression.targets, 1)).square()
    wanted = 0.8 * error[..., :2].mean() + 0.2 * error[..., 2:].mean()
    torch.testing.assert_close(loss.total, wanted)
    torch.testing.assert_close(loss.per_sample.mean(), wanted)
    torch.testing.assert_close(loss.terms["points"], error[..., :2].mean())


@pytest.fixture(scope="module")
def classes():
    generator = torch.Generator().manual_seed(0)
    label = torch.multinomial(PROBABILITY, 6000, replacement=True, generator=generator)
    x = MEANS[label] + VARIANCES[label].sqrt() * torch.randn(6000, 2, generator=generator)
    return Empirical(x, {"label": np.array(["a", "b", "c"])[label]})


OPTIONS = {"network": MLP(width=32, depth=2), "path": Symmetric(), "objective": SymmetricMatching()}


def test_fit_saves_resumes_reads_and_makes(classes, tmp_path):
    trainer = pf.Trainer(steps=40, batch_size=64, warmup=2, checkpoint_every=20)
    whole = pf.fit("gaussian", classes, out=tmp_path, trainer=trainer, **OPTIONS)
    x = torch.randn(50, 2)
    again = pf.load(tmp_path)
    made = whole.push(x, {"label": "b"}, steps=4)
    assert made.shape == x.shape and torch.equal(again.push(x, {"label": "b"}, steps=4), made)
    read = [flow.label(x, draws=2, generator=torch.Generator().manual_seed(0)) for flow in (whole, again)]
    assert torch.equal(read[0].expected["label"], read[1].expected["label"]) and set(read[0].values["label"]) <= set(
        "abc"
    )
    torch.testing.assert_close(read[0].expected["label"].sum(1), torch.ones(50))
    (tmp_path / "checkpoints" / "step-000000040.safetensors").unlink()
    resumed = pf.fit("gaussian", classes, out=tmp_path, resume=True, trainer=trainer, **OPTIONS)
    assert torch.equal(resumed.push(x, {"label": "b"}, steps=4), made)


def test_it_learns_the_posterior(classes):
    trainer = pf.Trainer(steps=800, learning_rate=3e-3, ema=0.99)
    transport = pf.fit("gaussian", classes, trainer=trainer, **OPTIONS | {"network": MLP(width=64, depth=3)})
    x = classes.x[:1000]
    found = transport.label(x, draws=8, generator=torch.Generator().manual_seed(0)).expected["label"]
    assert (found - exact_posterior(x)).square().mean().sqrt() < 0.07


def test_images_go_through_a_unet():
    data = digits([0, 1])[:64]
    trainer = pf.Trainer(steps=3, batch_size=8, warmup=1)
    flow = pf.fit(
        "gaussian", data, network=UNet(channels=8), path=Symmetric(), objective=SymmetricMatching(), trainer=trainer
    )
    assert flow.push(torch.randn(4, 1, 8, 8), {"label": [0, 1, 0, 1]}, steps=2).shape == (4, 1, 8, 8)
    assert flow.label(data.x[:5]).values["label"].shape == (5,)
    assert pf.evaluate(flow, Gaussian.standard(1, 8, 8), data, rows=8, steps=[1]).scores


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: pf.fit("gaussian", torch.randn(20, 3), path=Symmetric()), "no condition"),
        (lambda: Field(MLP(), Symmetric({"lable": OneHot()}), (2,), SCHEMA), "label"),
        (lambda: Field(MLP(), Symmetric({"label": Planes()}), (2,), SCHEMA), "categories"),
        (lambda: exact_transport().pull(torch.zeros(2, 2), {"label": "a"}), "read its label"),
        (lambda: exact_transport().log_prob(torch.zeros(2, 2), {"label": "a"}), "read its label"),
        (lambda: exact_transport().push(torch.zeros(2, 2), {"label": "a"}, guidance=2.0), "no effect"),
        (lambda: exact_transport().field.score(torch.zeros(2, 5), torch.ones(2)), "no score"),
        (lambda: exact_transport().label(torch.zeros(2, 2), draws=0), "at least 1"),
        (lambda: FlowTransport(Field(MLP(), Affine(), (2,), {})).label(torch.zeros(2, 2)), "no labels to read"),
        (lambda: SymmetricMatching(1.0), "between 0 and 1"),
        (lambda: OneHotMask(1), "at least two"),
        (lambda: Ordinal(0.0), "positive"),
        (lambda: Planes(1), "at least two"),
        (lambda: OneHot().channels(Column(None, 3), ()), "use Planes"),
        (lambda: OneHotMask().channels(Column(None, 3), (2, 2)), "each of 4 pixels"),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(InputError, match=message):
        wrong()


def test_the_objective_refuses_another_path():
    field = Field(MLP(width=8, depth=1), Affine(), (2,), {})
    with pytest.raises(InputError, match="needs a Symmetric path"):
        SymmetricMatching()(field, Pairs(torch.zeros(2, 2), torch.zeros(2, 2)), field.path)
