"""Local contrastive flow matching: which rows, which gradients, and the contrast of features that are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import MLP, Field, features
from pushforward.objectives import FlowMatching, Interval, LocalContrastive, Uniform
from pushforward.paths import Affine
from pushforward.training import Trainer


class Known(nn.Module):
    """Features that are one of two directions, by the sign of the first coordinate; the output is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Identity()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.times: list[torch.Tensor] = []

    def forward(self, x, t, condition=None):
        self.times.append(t)
        up = (x[:, :1] > 0).to(x)
        self.sign(self.scale * torch.cat([up, 1 - up], 1))
        return torch.zeros_like(x) * self.scale


def batch(n: int = 64) -> Pairs:
    x1 = torch.tensor([[5.0, 0.0], [-5.0, 0.0]]).repeat(n // 2, 1)
    return Pairs(torch.randn(n, 2, generator=torch.Generator().manual_seed(0)), x1)


def test_contrast_of_known_features():
    """Half of the anchors are a row's own direction, the others at right angles: `|p - q|^2` is 0 or 2."""
    field, tau = Field(Known(), Affine(), (2,), {}), 0.7
    loss = LocalContrastive("sign", temperature=tau, least=2, until=0.75)(field, batch(), Affine())
    rows = 16  # a quarter of the batch
    wanted = math.log(rows / 2 * (1 + math.exp(-2 / tau)))
    assert float(loss.terms["contrast"]) == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(loss.total.detach(), loss.terms["regression"] + loss.terms["contrast"])


def test_each_part_has_its_times():
    field = Field(Known(), Affine(), (2,), {})
    LocalContrastive("sign", until=0.8, least=2)(field, batch(100), Affine())
    regression, anchor, near = field.network.times
    assert len(regression) == 80 and float(regression.max()) <= 0.8
    assert len(anchor) == len(near) == 20 and (anchor == 0.8).all() and float(near.min()) >= 0.8
    LocalContrastive("sign", until=0.99, least=30)(field, batch(100), Affine())
    assert len(field.network.times[-1]) == 30


def test_anchors_have_no_gradient_and_features_do():
    net, kept = MLP(width=8, depth=2).build((2,), {}), []
    net.hidden[0].register_forward_hook(lambda module, inputs, output: kept.append(output.requires_grad))
    field = Field(net, Affine(), (2,), {})
    loss = LocalContrastive("hidden.0", least=8)(field, batch(), field.path).total
    assert kept == [True, False, True]  # regression, anchors, features
    assert torch.autograd.grad(loss, net.hidden[0].weight)[0].abs().max() > 0


def test_without_strength_it_is_flow_matching_before_the_threshold():
    torch.manual_seed(0)
    field, pairs = Field(MLP(width=8), Affine(), (2,), {}), batch(128)

    def generator():
        return torch.Generator().manual_seed(3)

    found = LocalContrastive("hidden.0", until=0.75, strength=0.0)(field, pairs, field.path, generator=generator())
    before = FlowMatching(Interval(Uniform(), 0.0, 0.75))
    torch.testing.assert_close(found.total, before(field, pairs[64:], field.path, generator=generator()).total)


def test_features_reads_and_leaves_no_trace():
    net = MLP(width=8, depth=3).build((2,), {})
    with features(net, "hidden.1") as reading:
        with pytest.raises(InputError, match="not called"):
            _ = reading.features
        net(torch.zeros(5, 2), torch.zeros(5))
    assert reading.features.shape == (5, 8) and not net.hidden[1]._forward_hooks
    with pytest.raises(InputError, match=r"'hiden.1'.*did you mean 'hidden.1'"), features(net, "hiden.1"):
        pass


def test_images_are_averaged_over_their_pixels():
    net = nn.Sequential(nn.Identity())
    with features(net, "0") as reading:
        net(torch.arange(24.0).reshape(2, 3, 2, 2))
    torch.testing.assert_close(reading.pooled[0], torch.tensor([1.5, 5.5, 9.5]))


def test_impossible_settings_say_so():
    with pytest.raises(InputError, match="until"):
        LocalContrastive("hidden.0", until=1.0)
    with pytest.raises(InputError, match="at least four rows"):
        LocalContrastive("sign")(Field(Known(), Affine(), (2,), {}), batch(2), Affine())


def test_fit_saves_loads_and_resumes(tmp_path):
    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0)
        return pf.fit(
            "gaussian", batch().x1, network=MLP(width=8), objective=LocalContrastive("hidden.0"), trainer=trainer,
            out=out, resume=resume, show_progress=False,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(3, 2)
    grid = {"grid": [0.0, 0.45, 0.9, 1.0], "method": "euler"}
    torch.testing.assert_close(whole.push(x, **grid), again.push(x, **grid))
