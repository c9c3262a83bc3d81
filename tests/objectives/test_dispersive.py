"""Dispersive terms: their closed forms, and that they ride on any objective without an evaluation of their own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.cli.main import main
from pushforward.configuration import build, describe
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, Field, TwoTime, features
from pushforward.objectives import (
    Adaptive,
    AlphaFlow,
    CovarianceDispersion,
    Diagonal,
    Dispersive,
    Fixed,
    FlowMatching,
    Guided,
    Held,
    HingeDispersion,
    InfoNCECosine,
    InfoNCEL2,
    MeanFlow,
    ModularMeanFlow,
    Objective,
)
from pushforward.paths import Affine
from pushforward.solvers import Jump
from pushforward.training import Trainer

ALL = [InfoNCEL2(), InfoNCEL2(relative=False), InfoNCECosine(), HingeDispersion(4.0), CovarianceDispersion()]


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def test_gaussian_features_have_the_integral():
    """`log E exp(-|h - h'|^2 / tau) = -k/2 log(1 + 4 s^2 / tau)` for h ~ N(0, s^2 I)."""
    h = 0.4 * torch.randn(3000, 3, generator=gen()).double() + 50
    found = InfoNCEL2(0.7, relative=False)(h)
    assert float(found) == pytest.approx(-1.5 * math.log(1 + 4 * 0.16 / 0.7), rel=0.02)


def test_directions_on_the_circle_have_the_bessel_function():
    """`log E exp(cos(phi) / tau) = log I_0(1 / tau)` for uniform angles, whatever the lengths."""
    angle = torch.linspace(0, 2 * math.pi, 500)[:-1].double()
    h = torch.stack([angle.cos(), angle.sin()], 1) * torch.rand(499, 1, generator=gen()).double()
    assert float(InfoNCECosine(0.5)(h)) == pytest.approx(float(torch.special.i0(torch.tensor(2.0).double()).log()))


def test_two_rows_by_hand():
    h = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert float(InfoNCEL2(10.0, relative=False)(h)) == pytest.approx(math.log((1 + math.exp(-2.5)) / 2))
    assert float(InfoNCEL2(0.5)(h)) == pytest.approx(math.log((1 + math.exp(-2)) / 2))
    assert float(HingeDispersion(26.0)(h)) == pytest.approx((26**2 + 1) / 2)
    tied = torch.tensor([[3.0, 4.0], [-3.0, -4.0]])  # unit rows (.6, .8) and (-.6, -.8): covariance 0.48
    assert float(CovarianceDispersion()(tied)) == pytest.approx(2 * 0.48**2)


@pytest.mark.parametrize("dispersion", ALL, ids=str)
def test_descent_drives_rows_apart(dispersion):
    h = torch.randn(32, 4, generator=gen()) * 0.1 + torch.tensor([1.0, 1, 0, 0])
    h = h.double().requires_grad_()
    before = dispersion(h)
    (slope,) = torch.autograd.grad(before, h)
    assert torch.isfinite(slope).all() and float(dispersion(h - 1e-3 * slope)) < float(before)
    equal = torch.ones(8, 3, requires_grad=True)
    assert torch.isfinite(torch.autograd.grad(dispersion(equal), equal)[0]).all()


def test_growth_alone_gains_nothing():
    h = torch.randn(64, 5, generator=gen()).double()
    for dispersion in (InfoNCEL2(0.3), InfoNCECosine(), CovarianceDispersion()):
        torch.testing.assert_close(dispersion(7 * h), dispersion(h))
    assert InfoNCEL2(relative=False)(7 * h) < InfoNCEL2(relative=False)(h)
    assert -1 / 0.3 < float(InfoNCEL2(0.3)(h)) < 0


def awake(network):
    torch.manual_seed(0)
    field = Field(network, Affine(), (2,), {})
    for parameter in field.parameters():
        nn.init.normal_(parameter, std=0.4)
    return field


@pytest.mark.parametrize(
    "base",
    [
        FlowMatching(),
        MeanFlow(),
        MeanFlow(Diagonal()),
        AlphaFlow(),
        ModularMeanFlow(curriculum=Held(0.5)),
    ],
    ids=lambda base: type(base).__name__,
)
def test_rides_on_any_objective_at_no_evaluation(base: Objective):
    field = awake(TwoTime(MLP(width=16)) if not isinstance(base, FlowMatching) else MLP(width=16))
    layer = "hidden.0" if isinstance(base, FlowMatching) else "network.hidden.0"
    pairs = Pairs(torch.randn(64, 2, generator=gen(1)), torch.randn(64, 2, generator=gen(2)))
    calls = []
    handle = field.network.get_submodule(layer).register_forward_hook(lambda *_: calls.append(1))

    def loss(objective, progress=0.5):
        calls.clear()
        found = objective.at(progress)(field, pairs, field.path, generator=gen(3))
        return found, len(calls)

    plain, evaluations = loss(base)
    found, also = loss(Dispersive((layer,), base, strength=0.3))
    handle.remove()
    assert evaluations == also
    torch.testing.assert_close(found.total, plain.total + 0.3 * found.terms["dispersion"])
    torch.testing.assert_close(found.per_sample, plain.per_sample)
    slope = torch.autograd.grad(found.total - plain.total.detach(), field.network.get_submodule(layer).weight)[0]
    without = torch.autograd.grad(loss(base)[0].total, field.network.get_submodule(layer).weight)[0]
    assert (slope - without).abs().max() > 1e-5  # the term reaches the weights below the layer


def test_clean_points_are_read_at_an_evaluation_of_their_own():
    """The base is as without; the term is that of the target points at times of the law."""
    field, base = awake(TwoTime(MLP(width=16))), MeanFlow()
    pairs = Pairs(torch.randn(64, 2, generator=gen(1)), torch.randn(64, 2, generator=gen(2)))
    objective = Dispersive(("network.hidden.0",), base, strength=0.3, clean=Fixed(0.25))
    found = objective(field, pairs, field.path, generator=gen(3))
    plain = base(field, pairs, field.path, generator=gen(3))
    with features(field.network, "network.hidden.0") as reading:
        field(pairs.x1, torch.full((64,), 0.25), None)
    term = InfoNCEL2()(reading.features)
    torch.testing.assert_close(found.terms["dispersion"], term.detach())
    torch.testing.assert_close(found.total, plain.total + 0.3 * term)
    assert abs(term - Dispersive(objective.layers, base)(field, pairs, field.path).terms["dispersion"]) > 1e-3
    assert build(describe(objective)) == objective


def test_layers_are_averaged_and_unknown_ones_named():
    field, pairs = awake(MLP(width=16)), Pairs(torch.randn(32, 2), torch.randn(32, 2))

    def term(layers):
        found = Dispersive(layers, FlowMatching())(field, pairs, field.path, generator=gen())
        return found.terms["dispersion"]

    both = (term(["hidden.0"]) + term(["hidden.1"])) / 2
    torch.testing.assert_close(term(["hidden.0", "hidden.1"]), both)
    with pytest.raises(InputError, match=r"no layer 'hiden.0'.*did you mean 'hidden.0'"):
        term(["hiden.0"])
    for wrong in (lambda: Dispersive(()), lambda: Dispersive(("a",), strength=-1), lambda: InfoNCEL2(0.0)):
        with pytest.raises(InputError):
            wrong()


def test_stands_for_its_base():
    objective = Dispersive(("network.hidden.0",), MeanFlow(weighting=Adaptive(0.0)))
    assert isinstance(objective.sampler(), Jump) and isinstance(objective.architecture(MLP()), TwoTime)
    assert Dispersive(("hidden.0",), AlphaFlow()).at(1.0).base == AlphaFlow().at(1.0)


def test_fit_saves_loads_and_resumes(tmp_path):
    x1 = torch.randn(64, 2, generator=gen())
    objective = Dispersive(("network.hidden.0", "network.hidden.1"), MeanFlow(Guided()), InfoNCECosine())

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0)
        return pf.fit(
            "gaussian", x1, condition={"c": torch.arange(64) % 2}, network=MLP(width=8), objective=objective,
            trainer=trainer, out=out, resume=resume, show_progress=False,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    x = torch.randn(3, 2)
    torch.testing.assert_close(whole.push(x, {"c": [0, 1, 0]}), pf.load(tmp_path / "parts").push(x, {"c": [0, 1, 0]}))


def test_from_the_command_line(tmp_path):
    dispersive = ["--objective", "Dispersive", "--objective.layers", "[network.hidden.0]",
                  "--objective.dispersion", "HingeDispersion", "--objective.dispersion.margin", "2"]  # fmt: skip
    base = ["--objective.base", "MeanFlow", "--objective.base.weighting.power", "0"]
    run = ["fit", "gaussian", "ring", "--trainer.steps", "2", "--network", "MLP", "--network.width", "8"]
    assert main([*run, *dispersive, *base, "--out", str(tmp_path / "run")]) == 0
    assert pf.load(tmp_path / "run").solver == Jump()
