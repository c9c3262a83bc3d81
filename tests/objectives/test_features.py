"""Aligning features with those of the data, and following them through a segment of time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pushforward as pf
from pushforward.cli.main import main
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, FeatureGuided, FeatureResidual, Field, SegmentExperts, counted_cost, features
from pushforward.objectives import FeatureAlignment, FeatureApproximation, FlowMatching
from pushforward.paths import Affine, PrincipalComponents
from pushforward.training import Trainer

EDGES = (0.0, 0.25, 0.5, 1.0)
GUIDED = FeatureGuided(MLP(width=32, depth=3), SegmentExperts(EDGES, MLP(width=8, depth=2)), features=2)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(n=64):
    return Pairs(torch.randn(n, 3, generator=gen(1)), torch.randn(n, 3, generator=gen(2)) * torch.tensor([3.0, 1, 0.1]))


def awake():
    torch.manual_seed(0)
    field = Field(GUIDED, Affine(), (3,), {})
    for parameter in field.parameters():
        nn.init.normal_(parameter, std=0.5)
    return field


def test_alignment_is_the_angle_between_leading_features_and_those_of_the_data():
    field, pairs = awake(), batch()
    encoder = PrincipalComponents(2).fitted(pairs.x1)
    objective = FeatureAlignment("backbone", encoder, strength=0.7)
    with features(field.network, "backbone") as reading:
        loss = objective(field, pairs, field.path, generator=gen())
    wanted = 1 - F.cosine_similarity(reading.features[:, :2], encoder.encode(pairs.x1)).mean()
    torch.testing.assert_close(loss.terms["alignment"], wanted.detach())
    plain = FlowMatching()(field, pairs, field.path, generator=gen())
    torch.testing.assert_close(loss.total, plain.total + 0.7 * wanted)
    torch.testing.assert_close(loss.per_sample, plain.per_sample)


def test_aligned_features_are_those_of_the_data_as_far_as_the_state_tells():
    """Near the data the state is the data: the cosine comes near one; features that are free stay free."""

    class Told(nn.Module):
        def forward(self, x, t, condition=None):
            return torch.cat([encoder.encode(x), 100 + x, x[:, :1]], 1)

    pairs, field = batch(4000), awake()
    encoder = PrincipalComponents(2).fitted(pairs.x1)
    field.network.backbone = Told()
    late = FlowMatching(time=pf.objectives.Interval(pf.objectives.Uniform(), 0.999, 1.0))
    loss = FeatureAlignment("backbone", encoder, base=late)(field, pairs, field.path, generator=gen())
    assert float(loss.terms["alignment"]) < 1e-3


def test_encoder_is_fitted_to_the_target_in_the_units_of_the_network(monkeypatch):
    seen = []
    monkeypatch.setattr(PrincipalComponents, "fitted", lambda self, points: (seen.append(points), self)[1])
    with pytest.raises(InputError, match="not fitted"):
        pf.fit("gaussian", 7 + 5 * torch.randn(300, 3), network=GUIDED, objective=FeatureAlignment())
    assert abs(float(seen[0].mean())) < 0.01 and abs(float(seen[0].std(correction=0)) - 1) < 0.01


def test_too_few_features_are_refused():
    field, pairs = awake(), batch()
    objective = FeatureAlignment("backbone.hidden.0", PrincipalComponents(3).fitted(pairs.x1))
    objective(field, pairs, field.path)
    with pytest.raises(InputError, match="as many rows"):  # a block sees the rows of its segment only
        replace(objective, layer="network.blocks.0.last")(field, pairs, field.path)
    thin = Field(FeatureGuided(MLP(width=2, depth=2)), Affine(), (3,), {})
    with pytest.raises(InputError, match="at least as many"):
        objective(thin, pairs, thin.path)


class Clock(nn.Module):
    """Features that are the time, or with an offset the time since the segment began."""

    def __init__(self, boundaries=(), error=0.0):
        super().__init__()
        self.boundaries, self.error = torch.tensor((0.0, *boundaries)), nn.Parameter(torch.tensor(error))

    def forward(self, x, t, condition=None):
        since = t - self.boundaries[torch.bucketize(t, self.boundaries, right=True) - 1]
        return (since + self.error)[:, None].expand(-1, 6)


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_the_right_residual_has_no_loss_and_a_wrong_one_its_square(error):
    field = awake()
    field.network.backbone = Clock()
    adapted = FeatureResidual(MLP(width=4)).adapted(field)
    adapted.network.residual = Clock(EDGES[1:-1], error)
    loss = FeatureApproximation()(adapted, batch(4000), adapted.path, generator=gen())
    assert float(loss.total.detach()) == pytest.approx(error**2, abs=1e-9)
    # without the residual the features are late by the time since the segment began: its mean square over segments
    still = sum((b - a) ** 3 for a, b in pairwise(EDGES)) / 3
    assert float(loss.terms["unexplained"]) == pytest.approx(error**2 / still, rel=1e-2, abs=1e-9)


def test_only_the_light_network_learns_and_pairs_weigh():
    adapted, pairs = FeatureResidual(MLP(width=4)).adapted(awake()), batch(6)
    some = Pairs(pairs.x0, pairs.x1, weight=torch.tensor([0.0, 0, 0, 2.0, 0, 0]))
    loss = FeatureApproximation()(adapted, some, adapted.path, generator=gen())
    torch.testing.assert_close(loss.total.detach(), loss.per_sample[3])
    loss.total.backward()
    grown = {name for name, p in adapted.named_parameters() if p.grad is not None}
    assert grown and all(name.startswith("network.residual.") for name in grown)
    with pytest.raises(InputError, match="adapter FeatureResidual"):
        FeatureApproximation()(awake(), pairs, adapted.path)


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    out = tmp_path_factory.mktemp("guided") / "run"
    options = {"network": GUIDED, "objective": FeatureAlignment(encoder=PrincipalComponents(2)), "out": out}
    pf.fit("gaussian", batch(200).x1, trainer=Trainer(steps=20, batch_size=32, warmup=0), **options)
    return out


def test_fit_saves_loads_resumes_and_asks_the_backbone_once_a_segment(guided, tmp_path):
    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=32, checkpoint_every=2, decay="constant", warmup=0)
        return pf.fit(
            "gaussian", batch(200).x1, init=guided, adapter=FeatureResidual(MLP(width=4)),
            objective=FeatureApproximation(), trainer=trainer, out=out, resume=resume,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    x, first, again = torch.randn(5, 3), pf.load(guided), pf.load(tmp_path / "parts")
    assert torch.equal(again.push(x, steps=8), whole.push(x, steps=8))
    with counted_cost(first.field, "network.backbone") as before:
        exact = first.push(x, steps=8, method="euler")
    with counted_cost(again.field, "network.frozen.network.backbone") as after:
        followed = again.push(x, steps=8, method="euler")
    assert before.called.total() == 8 and after.called.total() == 3 and after.flops < before.flops
    assert 0 < (followed - exact).abs().max() < 1
    # in the first step of a segment its features are exact, but for what the light network has learned
    torch.testing.assert_close(again.pull(x), first.pull(x))  # against time they are exact


def test_from_the_command_line(guided, tmp_path, capsys):
    table = tmp_path / "x.csv"
    table.write_text("a,b,c\n" + "".join(",".join(map(str, row)) + "\n" for row in batch(100).x1.tolist()))
    fit = ["fit", "gaussian", str(table), "--trainer.steps", "2"]
    network = ["--network", "FeatureGuided", "--network.network", "SegmentExperts", "--network.network.edges",
               "[0, 0.5, 1]", "--network.features", "2"]  # fmt: skip
    objective = ["--objective", "FeatureAlignment", "--objective.encoder", "PrincipalComponents",
                 "--objective.encoder.components", "3"]  # fmt: skip
    assert main([*fit, "--out", str(tmp_path / "one"), *network, *objective]) == 0
    second = ["--init", str(tmp_path / "one"), "--adapter", "FeatureResidual", "--objective", "FeatureApproximation"]
    assert main([*fit, "--out", str(tmp_path / "two"), *second]) == 0
    assert (
        main(
            ["push", str(tmp_path / "two"), "gaussian", "--rows", "5", "--steps", "4", "-o", str(tmp_path / "made.csv")]
        )
        == 0
    )
