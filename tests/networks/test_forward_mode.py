"""Derivatives in forward mode through networks of every kind, attention and compiled ones among them."""

import warnings

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from torch import nn

from pushforward.cli.pieces import classes_of
from pushforward.conditions import Column
from pushforward.networks import (
    MLP,
    Architecture,
    Concatenated,
    DiT,
    FeatureGuided,
    FlowHead,
    FrozenWhereKnown,
    GradientOf,
    HierarchicalFlow,
    LowRank,
    MixtureHead,
    SegmentExperts,
    SkipAutoencoder,
    UNet,
    told_twice,
)
from pushforward.networks.forward_mode import forward_mode, in_forward_mode
from pushforward.objectives import total_derivative

SMALL = MLP(width=12, depth=2)
NETWORKS = [
    (SMALL, (2,)),
    (MLP(width=12, residual=True, activation="silu"), (2,)),
    (UNet(channels=4), (1, 6, 5)),
    (DiT(width=16, depth=2, head_width=8), (1, 4, 4)),
    (DiT(width=16, depth=2, head_width=8, positions="rotary"), (1, 4, 4)),
    (SegmentExperts((0.0, 0.5, 1.0), SMALL), (2,)),
    (FeatureGuided(SMALL, SMALL), (2,)),
    (GradientOf(SMALL), (2,)),
    (MixtureHead(3, SMALL), (2,)),
    (HierarchicalFlow(SMALL), (2,)),
    (FlowHead(SMALL, SMALL), (2,)),
    (Concatenated(SMALL, ("known",)), (2,)),
    (FrozenWhereKnown(SMALL), (2,)),
    (SkipAutoencoder(5), (2,)),
    (LowRank(SMALL, rank=2), (2,)),
]
WITHOUT_VELOCITY = {"Autoencoder", "CausalTransitions"}
OF_JUMPS_ALREADY = {"DataGrid", "ToEnd", "TwoTime"}
named = pytest.mark.parametrize(("spec", "event"), NETWORKS, ids=lambda case: str(case)[:30])


def mapped(spec: Architecture, event: tuple[int, ...]):
    """A flow map with weights that are not zero, a point of its domain away from edges of time, and a direction."""
    torch.manual_seed(0)
    size = torch.Size(event).numel()
    net = told_twice(spec).build(event, {"label": Column(("a", "b")), "known": Column(None, size)})
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    told = {"label": torch.tensor([0, 1, -1, 1]), "known": torch.randint(2, (4, size)).float()}
    x, v = torch.randn(2, 4, *event)
    s = torch.tensor([0.11, 0.33, 0.52, 0.71])
    return net, told, (x, s, torch.full((4,), 0.95), v)


def test_every_network_with_a_velocity_is_tried():
    covered = {type(spec).__name__ for spec, _ in NETWORKS}
    assert covered == set(classes_of(Architecture)) - WITHOUT_VELOCITY - OF_JUMPS_ALREADY


@named
def test_is_the_derivative_and_can_be_differentiated_again(spec, event):
    net, told, at = mapped(spec, event)
    net, told, (x, s, e, v) = net.double(), told | {"known": told["known"].double()}, (y.double() for y in at)
    u = lambda x, s, e: net.mean_velocity(x, s, e, told)  # noqa: E731
    h = 1e-5
    wanted = ((u(x + h * v, s + h, e) - u(x - h * v, s - h, e)) / (2 * h)).detach()
    assert wanted.abs().max() > 1e-2
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        torch.testing.assert_close(total_derivative(u, x, s, e, v), wanted, atol=1e-6, rtol=1e-6)
        found = total_derivative(u, x, s, e, v, graph=True)
    torch.testing.assert_close(found.detach(), wanted, atol=1e-6, rtol=1e-6)
    found.square().mean().backward()
    gradients = [parameter.grad for parameter in net.parameters() if parameter.grad is not None]
    assert all(torch.isfinite(g).all() for g in gradients) and any(g.abs().max() > 0 for g in gradients)


@named
def test_stays_in_full_precision_under_bfloat16(spec, event):
    net, told, (x, s, e, v) = mapped(spec, event)
    u = lambda x, s, e: net.mean_velocity(x, s, e, told)  # noqa: E731
    exact = total_derivative(u, x, s, e, v)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(total_derivative(u, x, s, e, v), exact)


@pytest.mark.parametrize(("spec", "event"), [NETWORKS[0], NETWORKS[3], NETWORKS[8]], ids=str)
def test_runs_what_was_compiled_as_it_was_written(spec, event):
    """The whole network or a part of it, and what was compiled keeps working: compilers drop tangents unsaid."""
    net, told, (x, s, e, v) = mapped(spec, event)
    u = lambda x, s, e: net.mean_velocity(x, s, e, told)  # noqa: E731
    exact, value = total_derivative(u, x, s, e, v), u(x, s, e)
    net.network.compile(backend="aot_eager")
    torch.testing.assert_close(u(x, s, e), value)
    assert torch.equal(total_derivative(u, x, s, e, v), exact)
    net.compile(backend="aot_eager")
    assert torch.equal(total_derivative(u, x, s, e, v), exact)
    torch.testing.assert_close(u(x, s, e), value)


class Fused(nn.Module):
    """Attention of the framework in the words of its users."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.kind = nn.Linear(10, 8), kind
        self.attention = {
            "function": None,
            "module": nn.MultiheadAttention(8, 2, batch_first=True),
            "encoder": nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
        }[kind]

    def forward(self, x, s, e):
        times = torch.stack([s, e], 1)[:, None].expand(-1, x.shape[1], -1)
        h = self.first(torch.cat([x, times], 2))
        if self.kind == "function":
            return F.scaled_dot_product_attention(h[:, None], h[:, None], h[:, None])[:, 0]
        return self.attention(h) if self.kind == "encoder" else self.attention(h, h, h, need_weights=False)[0]


@pytest.mark.parametrize("kind", ["function", "module", "encoder"])
@pytest.mark.parametrize("training", [True, False])
def test_attention_of_a_users_own_network(kind, training):
    """By the kernel that has a derivative, also where evaluation would take a fast path; nothing falls back."""
    torch.manual_seed(0)
    net = Fused(kind).double().train(training)
    x, v = torch.randn(2, 4, 5, 8).double()
    s, e, h = *torch.rand(2, 4).double().mul(0.8).add(0.1), 1e-6
    wanted = ((net(x + h * v, s + h, e) - net(x - h * v, s - h, e)) / (2 * h)).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = total_derivative(net, x, s, e, v)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    assert torch.backends.mha.get_fastpath_enabled()


def test_knows_whether_it_is_under_way():
    assert not in_forward_mode()
    with forward_mode():
        assert in_forward_mode()
    assert not in_forward_mode()
    assert torch.func.jvp(lambda x: x * in_forward_mode(), (torch.ones(()),), (torch.ones(()),))[1] == 1
    with pytest.raises(ValueError, match="once"), forward_mode():
        raise ValueError("once")
    assert not in_forward_mode() and torch.backends.mha.get_fastpath_enabled()


ONE_TANGENT = {
    "add": (lambda x, y: x + y, lambda x, y: y + x, lambda x, y: x + 2),
    "subtract": (lambda x, y: x - y, lambda x, y: y - x, lambda x, y: x - 2),
    "multiply": (lambda x, y: x * y, lambda x, y: y * x, lambda x, y: 3 * x),
    "divide": (lambda x, y: x / y, lambda x, y: y / x, lambda x, y: x / 2),
    "linear": (lambda x, y: F.linear(x, y, y[:, 0]), lambda x, y: F.linear(y, x), lambda x, y: F.linear(y, y, x[0])),
}


@pytest.mark.parametrize("name", ONE_TANGENT)
def test_operations_of_which_one_argument_moves_have_the_tangents_that_torch_gives_them(name):
    x, y = torch.rand(2, 3, 3, dtype=torch.double) + 0.5
    for operation in ONE_TANGENT[name]:
        wanted = torch.autograd.functional.jvp(lambda x: operation(x, y), x, y)[1]  # noqa: B023
        with forward_mode():
            result = operation(forward_ad.make_dual(x, y), y)
            torch.testing.assert_close(forward_ad.unpack_dual(result).tangent, wanted)


def test_tangents_take_the_shape_and_dtype_of_what_they_are_added_to():
    column, wide = torch.ones(3, 1), torch.zeros(3, 4, dtype=torch.double)
    with forward_mode():
        tangent = forward_ad.unpack_dual(wide - forward_ad.make_dual(column, 2 * column)).tangent
    torch.testing.assert_close(tangent, wide - 2)
