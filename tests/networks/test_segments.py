"""A network for every segment of time: which block answers, and features that all of them share."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pushforward.conditions import Column
from pushforward.errors import InputError
from pushforward.networks import MLP, FeatureGuided, FeatureResidual, Field, SegmentExperts, counted_cost
from pushforward.paths import Affine

EDGES = (0.0, 0.25, 0.5, 1.0)


class Constant(nn.Module):
    """A block that says its number, and the sum of its condition."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.tensor(number))

    def forward(self, x, t, condition=None):
        return self.number + 0 * x + (0 if condition is None else condition["c"].reshape(-1, 1))


def numbered() -> nn.Module:
    net = SegmentExperts(EDGES, MLP(width=4)).build((2,), {})
    net.blocks = nn.ModuleList(Constant(float(m)) for m in range(3))
    return net


def test_rows_go_to_the_block_of_their_time():
    """Segments are half open: an edge belongs to the one that begins there, and 1 to the last."""
    t = torch.tensor([1.0, 0.5, 0.0, 0.2499999, 0.25, 0.7, 0.4])
    c = torch.arange(7.0) * 10
    wanted = torch.tensor([2.0, 2, 0, 0, 1, 2, 1])
    assert torch.equal(numbered()(torch.zeros(7, 2), t)[:, 0], wanted)
    assert torch.equal(numbered()(torch.zeros(7, 2), t, {"c": c})[:, 1], wanted + c)
    assert torch.equal(numbered()(torch.zeros(7, 2), torch.full((7,), 0.3))[:, 0], torch.ones(7))


def test_each_block_learns_from_its_rows_alone():
    net = numbered()
    net(torch.ones(4, 2), torch.tensor([0.1, 0.2, 0.6, 0.9])).sum().backward()
    assert [block.number.grad for block in net.blocks] == [torch.tensor(4.0), None, torch.tensor(4.0)]


def test_all_blocks_cost_what_one_does():
    block, experts = (spec.build((8,), {}) for spec in (MLP(width=16), SegmentExperts(EDGES, MLP(width=16))))
    costs = []
    for net in (block, experts):
        with counted_cost(net) as cost:
            net(torch.zeros(32, 8), torch.rand(32))
        costs.append(cost.flops)
    assert costs[0] == costs[1] == 2 * 32 * (9 * 16 + 16 * 16 + 16 * 16 + 16 * 8)


def test_cost_counts_calls_of_parts():
    net = MLP(width=4).build((2,), {})
    with counted_cost(net, "hidden.0", "last") as cost:
        for _ in range(3):
            net(torch.zeros(1, 2), torch.zeros(1))
    assert cost.called == {"hidden.0": 3, "last": 3} and not net.last._forward_pre_hooks
    with pytest.raises(InputError, match="did you mean 'last'"), counted_cost(net, "lst"):
        pass


def test_features_reach_every_block_and_carry_the_gradient():
    torch.manual_seed(0)
    spec = FeatureGuided(MLP(width=8), SegmentExperts(EDGES, MLP(width=8)), features=3)
    net = spec.build((2,), {"label": Column((0, 1))})
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.3)
    x, t, label = torch.randn(9, 2), torch.linspace(0, 1, 9), {"label": torch.arange(9) % 2}
    features = net.described(x, t, label)
    assert features.shape == (9, 6) and net.boundaries == (0.25, 0.5)
    torch.testing.assert_close(net(x, t, label), net.told(x, t, features, label))
    assert not torch.allclose(net.told(x, t, features + 1, label), net(x, t, label))
    net(x, t, label).sum().backward()
    assert net.backbone.first.weight.grad.abs().sum() > 0


def test_followed_features_are_exact_until_they_are_followed():
    """Without the first features of a segment the backbone is asked; with them the light network, zero at first."""
    torch.manual_seed(0)
    guided = FeatureGuided(MLP(width=8), SegmentExperts(EDGES, MLP(width=8)))
    field = Field(guided, Affine(), (2,), {})
    for parameter in field.parameters():
        nn.init.normal_(parameter, std=0.3)
    adapted = FeatureResidual(MLP(width=4)).adapted(field)
    x, t = torch.randn(5, 2), torch.full((5,), 0.3)
    torch.testing.assert_close(adapted.velocity(x, t), field.velocity(x, t))
    told = adapted.entered(x, torch.full((5,), 0.25))
    net = adapted.network
    with counted_cost(net, "frozen.network.backbone") as cost:
        followed = net(x, t, told)
    first = field.network.described(x, torch.full((5,), 0.25))
    torch.testing.assert_close(followed, field.network.told(x, t, first))
    assert cost.called["frozen.network.backbone"] == 0
    assert {name.split(".")[0] for name, p in net.named_parameters() if p.requires_grad} == {"residual"}


def test_impossible_segments_are_refused():
    for edges in [(0.0,), (0.1, 1.0), (0.0, 0.5), (0.0, 0.7, 0.3, 1.0)]:
        with pytest.raises(InputError, match="increase from 0 to 1"):
            SegmentExperts(edges)
    with pytest.raises(InputError, match="at least 1"):
        FeatureGuided(features=0)
    with pytest.raises(InputError, match="is FeatureGuided"):
        FeatureResidual().adapted(Field(MLP(width=4), Affine(), (2,), {}))
