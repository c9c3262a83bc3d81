"""Contrastive flow matching: its minimiser in closed form, and who is held against whom."""

from __future__ import annotations

import pytest
import torch
from tests.helpers import Perturbed, stationarity

import pushforward as pf
from pushforward.conditions import Column
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Deinterfered, Field
from pushforward.objectives import Contrastive, FlowMatching, LogitNormal, negatives
from pushforward.paths import Affine, CondOT
from pushforward.training import Trainer

SOURCE = Gaussian(torch.zeros(2).double())
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
ORACLE, U_BAR = AffineOracle(SOURCE, TARGET, CondOT()), TARGET.mean - SOURCE.mean


def pairs(generator: torch.Generator, n: int = 2000) -> Pairs:
    return Pairs(SOURCE.sample(n, generator=generator), TARGET.sample(n, generator=generator), gaussian_source=True)


def minimiser(x, t, strength=0.3):
    return (ORACLE.velocity(x, t) - strength * U_BAR) / (1 - strength)


def scores(objective: Contrastive, truth) -> torch.Tensor:
    net = Perturbed(truth)
    field = Field(net, Affine(), (2,), {})
    return stationarity(objective, field, net.theta, field.path, pairs)


@pytest.mark.parametrize("base", [FlowMatching(), FlowMatching(LogitNormal()), FlowMatching(antithetic=True)])
def test_minimiser_is_stationary(base):
    assert scores(Contrastive(base, 0.3), minimiser).abs().max() < 3.5


def test_wrong_minimisers_are_caught():
    assert scores(Contrastive(strength=0.3), ORACLE.velocity).abs().max() > 20
    assert scores(Contrastive(strength=0.3), lambda x, t: minimiser(x, t, 0.25)).abs().max() > 10


def test_correction_gives_flow_matching_back():
    x, t = torch.randn(50, 2).double(), torch.rand(50).double()
    field = Field(Perturbed(minimiser), Affine(), (2,), {})
    torch.testing.assert_close(Deinterfered(field, 0.3, U_BAR).velocity(x, t), ORACLE.velocity(x, t))
    with pytest.raises(InputError, match="no score"):
        Deinterfered(field, 0.3).score(x, t)


def test_loss_is_the_difference_of_its_terms_and_without_strength_the_base():
    field = Field(Perturbed(ORACLE.velocity), Affine(), (2,), {})
    batch = pairs(torch.Generator().manual_seed(0), 64)

    def loss(objective):
        return objective(field, batch, field.path, generator=torch.Generator().manual_seed(1))

    found = loss(Contrastive(strength=0.4))
    difference = found.terms["own target"] - 0.4 * found.terms["other target"]
    torch.testing.assert_close(found.total.detach(), difference)
    assert float(found.per_sample.mean()) == pytest.approx(float(found.total.detach()))
    torch.testing.assert_close(loss(Contrastive(strength=0.0)).total, loss(FlowMatching()).total)


def test_negatives_are_uniform_on_the_others():
    drawn = torch.stack([negatives(5, generator=torch.Generator().manual_seed(k)) for k in range(4000)])
    share = torch.nn.functional.one_hot(drawn, 5).double().mean(0)
    torch.testing.assert_close(share, (1 - torch.eye(5).double()) / 4, atol=0.03, rtol=0)


def test_negatives_of_another_label_are_uniform_on_those():
    labels = torch.tensor([2, 0, 2, -1, 2, 0])
    drawn = torch.stack([negatives(6, labels, generator=torch.Generator().manual_seed(k)) for k in range(4000)])
    share = torch.nn.functional.one_hot(drawn, 6).double().mean(0)
    differs = (labels[:, None] != labels).double()
    torch.testing.assert_close(share, differs / differs.sum(1, keepdim=True), atol=0.03, rtol=0)


def test_negatives_without_another_label_are_other_rows():
    drawn = negatives(4, torch.zeros(4, dtype=torch.long))
    assert (drawn != torch.arange(4)).all()
    with pytest.raises(InputError, match="no other row"):
        negatives(1)


def test_what_does_not_fit_says_so():
    with pytest.raises(InputError, match="no minimum"):
        Contrastive(strength=1.0)
    with pytest.raises(InputError, match=r"'lable'.*did you mean 'label'"):
        Contrastive(label="lable").schema({"label": Column((0, 1))})


def test_fit_saves_loads_and_resumes(tmp_path):
    labels = torch.arange(64) % 2
    x1 = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) + 3 * labels[:, None]
    objective = Contrastive(FlowMatching(condition_dropout=0.2), 0.2, label="label")

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0)
        return pf.fit(
            "gaussian", x1, condition={"label": labels}, network=MLP(width=8), objective=objective, trainer=trainer,
            out=out, resume=resume, show_progress=False,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(3, 2)
    torch.testing.assert_close(whole.push(x, {"label": labels[:3]}), again.push(x, {"label": labels[:3]}))
