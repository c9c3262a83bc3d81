"""Transports around closed-form velocities: push, pull and densities are those of the Gaussian oracle."""

import json
import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.conditions import infer_schema
from pushforward.configuration import Recorded
from pushforward.errors import InputError
from pushforward.maps import Evaluation, FlowTransport, Frame, evaluate
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Field
from pushforward.paths import VE, VP, Affine, CondOT, Schedule, Trig
from pushforward.solvers import SDE, DormandPrince

TARGET = Gaussian([1.0, -2.0], [[0.7, 0.2], [0.2, 0.4]])


class Exact(nn.Module, Recorded):
    """The exact velocity from N(0, I) to `TARGET` as a network."""

    def __init__(self, schedule: Schedule):
        super().__init__()
        self.oracle = AffineOracle(Gaussian.standard(2), TARGET, schedule)

    def forward(self, x, t, condition=None):
        return self.oracle.velocity(x, t)


def exact(schedule: Schedule, **options) -> FlowTransport:
    field = Field(Exact(schedule), Affine(schedule), (2,), {}, gaussian_source=True)
    return FlowTransport(field, DormandPrince(1e-6), Gaussian.standard(2), **options)


@pytest.mark.parametrize("schedule", [CondOT(), Trig(), VP(), VE(0.01, 100.0)], ids=lambda s: type(s).__name__)
def test_density_and_inverse_are_exact(schedule):
    transport = exact(schedule)
    y = TARGET.sample(50, generator=torch.Generator().manual_seed(0))
    # VP and VE start from a law that is N(0, scale^2 I) only nearly: alpha_0 is e^-5, and 1 beside a scale of 100
    slack = 1e-3 if schedule.interval == (0.0, 1.0) else 0.1
    assert (transport.log_prob(y) - TARGET.log_prob(y)).abs().max() < slack
    assert (transport.push(transport.pull(y)) - y).abs().max() < 5e-3
    pushed = transport.push(torch.randn(4000, 2, generator=torch.Generator().manual_seed(1)))
    assert (pushed.mean(0) - TARGET.mean).abs().max() < 0.1
    assert (pushed.T.cov() - TARGET.covariance).abs().max() < 0.1


def test_frames_change_units_and_keep_densities():
    frames = Frame((2,)), Frame((2,))
    for frame, shift, scale in zip(frames, (5.0, -3.0), (2.0, 0.5), strict=True):
        frame.shift.fill_(shift)
        frame.scale.fill_(scale)
    field = exact(CondOT()).field
    source = Gaussian([5.0, 5.0], [[4.0, 0.0], [0.0, 4.0]])  # N(0, I) in the source's frame
    transport = FlowTransport(field, DormandPrince(1e-6), source, *frames)
    plain = exact(CondOT())
    x = torch.randn(20, 2)
    torch.testing.assert_close(transport.push(2 * x + 5), 0.5 * plain.push(x) - 3, rtol=1e-4, atol=1e-4)
    y = torch.randn(20, 2)
    expected = plain.log_prob(y) - 2 * math.log(0.5)
    torch.testing.assert_close(transport.log_prob(0.5 * y - 3), expected, rtol=1e-4, atol=1e-4)


def test_stochastic_sampling_keeps_the_target():
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    moved = exact(CondOT()).solve(x, solver=SDE(steps=60), generator=generator)
    assert moved.evaluations <= 121  # one evaluation gives velocity and score
    assert (moved.x.mean(0) - TARGET.mean).abs().max() < 0.08
    assert (moved.x.T.cov() - TARGET.covariance).abs().max() < 0.08


def test_density_has_gradients():
    transport = exact(CondOT())
    y = torch.randn(3, 2, requires_grad=True)
    transport.log_prob(y).sum().backward()
    torch.testing.assert_close(y.grad, TARGET.score(y.detach()), rtol=1e-2, atol=1e-2)


def test_steps_grid_and_tolerance_each_mean_one_thing():
    transport = exact(CondOT())
    x = torch.randn(4, 2)
    assert transport.solve(x, solver=None).evaluations > 8
    torch.testing.assert_close(
        transport.push(x, steps=4, method="euler"), transport.push(x, grid=[0.0, 0.25, 0.5, 0.75, 1.0], method="euler")
    )
    with pytest.raises(InputError, match="exclude each other"):
        transport.push(x, steps=4, tolerance=1e-3)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    directory = tmp_path_factory.mktemp("saved")
    field = Field(MLP(width=8, depth=1), Affine(VP()), (2,), {})
    return FlowTransport(field, source=Gaussian.standard(2), names=("a", "b")).save(directory)


def test_load_restores_every_piece(saved):
    transport = pf.load(saved)
    assert transport.names == ["a", "b"] and transport.field.path == Affine(VP())
    assert "2011.13456" in pf.cite(transport)  # Song et al., the VP path


@pytest.mark.parametrize("file", ["transport.json", "weights.safetensors"])
def test_missing_and_damaged_files_are_named(saved, file, tmp_path):
    for name in ("transport.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50])
    with pytest.raises(InputError, match=f"{file} is damaged"):
        pf.load(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(InputError, match=f"{file} is missing"):
        pf.load(tmp_path)


def test_newer_formats_and_foreign_classes_are_refused(saved, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes((saved / "weights.safetensors").read_bytes())
    description = json.loads((saved / "transport.json").read_text())
    (tmp_path / "transport.json").write_text(json.dumps(description | {"format": 99}))
    with pytest.raises(InputError, match="newer pushforward"):
        pf.load(tmp_path)
    description["transport"]["class_path"] = "subprocess_like.Popen"
    (tmp_path / "transport.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="not part of pushforward"):
        pf.load(tmp_path)


@pytest.mark.parametrize(
    "x, message",
    [
        (torch.randn(3, 5), r"rows of shape \(5,\)"),
        (torch.full((2, 2), torch.nan), "non-finite"),
        ([["a", "b"]], "must be numbers"),
    ],
)
def test_bad_points_are_named(x, message):
    with pytest.raises(InputError, match=message):
        exact(CondOT()).push(x)


def test_a_conditional_transport_is_not_pushed_without_a_condition():
    field = Field(MLP(width=8, depth=1), Affine(), (2,), infer_schema(["a", "b"]))
    transport = FlowTransport(field)
    with pytest.raises(InputError, match=r"needs a condition \(condition\)"):
        transport.push(torch.zeros(3, 2))
    assert transport.push(torch.zeros(3, 2), {}).shape == transport.push(torch.zeros(3, 2), "a").shape


def test_sample_needs_a_known_source():
    with pytest.raises(InputError, match="known by its samples only"):
        FlowTransport(exact(CondOT()).field).sample(3)


def test_evaluation_of_the_exact_flow_is_at_the_floor():
    found = evaluate(exact(CondOT()), Gaussian.standard(2), TARGET, rows=400, steps=(1, 20), likelihood_rows=100)
    w2 = found.scores[0]
    assert w2.value < 2 * w2.floor < w2.baseline
    one, twenty = (value for _, value in found.curves["W2"])
    assert twenty < one
    assert found.likelihood["negative log-likelihood"] == pytest.approx(
        found.likelihood["negative log-likelihood, floor"], abs=1e-3
    )
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert "W2" in found.format()
