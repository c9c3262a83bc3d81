"""Architectures and embeddings: one walk over every public piece, then what each promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.networks import MLP, ConditionEmbedding, DiT, FourierTime, Patches, Rotary, SegmentExperts, UNet

SCHEMA = {"label": Column(("a", "b", "c")), "dose": Column(None, 2, 1.0, 3.0)}
CASES = [
    (MLP(width=16, residual=True), (2,)),
    (MLP(width=16, depth=1, time_features=3, activation="silu"), (3, 2)),
    (UNet(channels=8), (1, 8, 8)),
    (UNet(channels=4, multipliers=(1, 2, 3), blocks=2, attention=False), (3, 13, 10)),
    (UNet(channels=8, multipliers=(1,)), (2, 5, 5)),
    (DiT(width=16, depth=2, head_width=8), (1, 8, 8)),
    (DiT(width=16, depth=1, patch=3, head_width=16, time_features=3), (2, 7, 5)),
    (DiT(width=8, depth=1, head_width=8), (5,)),
    (SegmentExperts((0.0, 0.4, 1.0), MLP(width=16)), (2,)),
    (DiT(width=16, depth=2, head_width=8, positions="rotary"), (2, 7, 5)),
]


def condition(rows: int = 6) -> dict[str, torch.Tensor]:
    dose = torch.linspace(-1, 1, 2 * rows).reshape(rows, 2)
    dose[1, 0] = torch.nan
    return {"label": torch.arange(rows) % 4 - 1, "dose": dose}


def awake(net: nn.Module) -> nn.Module:
    """Move every parameter off its initial value: the layers that start at zero hide what is before them."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("schema", [{}, SCHEMA], ids=["plain", "conditional"])
@pytest.mark.parametrize(("spec", "event"), CASES)
def test_contract(spec, event, schema, dtype):
    torch.manual_seed(0)
    net = spec.build(event, schema).to(dtype)
    x, t, c = torch.randn(6, *event, dtype=dtype), torch.rand(6, dtype=dtype), condition() if schema else None
    assert torch.equal(net(x, t, c), torch.zeros_like(x))
    out = awake(net)(x, t, c)
    assert out.shape == x.shape and out.dtype == dtype and out.std() > 0
    (out.square().sum() + net(x, t, None).square().sum()).backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
        assert torch.isfinite(p.grad).all(), name
    # rows do not see each other
    torch.testing.assert_close(net(x[2:3], t[2:3], {k: v[2:3] for k, v in c.items()} if c else None), out[2:3])
    again = build(describe(spec))
    assert again == spec
    copy = again.build(event, schema).to(dtype)
    copy.load_state_dict(net.state_dict())
    assert torch.equal(copy(x, t, c), out)


@pytest.mark.parametrize(("spec", "event"), [*CASES[:4], CASES[6], CASES[8]])
def test_forward_mode_derivative(spec, event):
    torch.manual_seed(0)
    net = awake(spec.build(event, {})).double()
    x, t, dx = torch.randn(2, *event).double(), torch.rand(2).double(), torch.randn(2, *event).double()
    _, got = torch.func.jvp(net, (x, t), (dx, torch.ones_like(t)))
    h = 1e-5
    torch.testing.assert_close(got, (net(x + h * dx, t + h) - net(x - h * dx, t - h)) / (2 * h), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("spec", "event"), [CASES[0], CASES[2], CASES[5]])
def test_traces_without_a_graph_break(spec, event):
    torch.manual_seed(0)
    net = awake(spec.build(event, SCHEMA))
    x, t = torch.randn(6, *event), torch.rand(6)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, t, condition()), net(x, t, condition()))


@pytest.mark.parametrize(("spec", "event"), [CASES[0], CASES[2], CASES[5]])
def test_bfloat16_autocast_stays_close(spec, event):
    torch.manual_seed(0)
    net = awake(spec.build(event, SCHEMA))
    x, t = torch.randn(6, *event), torch.rand(6)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x, t, condition())
    high = net(x, t, condition())
    assert (low.float() - high).norm() < 0.05 * high.norm()
    low.float().square().sum().backward()


def test_unet_crops_its_padding():
    """Padding is cropped again: a 9 x 7 image comes back as 9 x 7, and its last column matters."""
    torch.manual_seed(0)
    net = awake(UNet(channels=4).build((1, 9, 7), {}))
    x = torch.randn(1, 1, 9, 7)
    bumped = x.clone()
    bumped[..., -1] += 1
    t = torch.rand(1)
    assert (net(x, t) - net(bumped, t)).abs().sum() > 0


@pytest.mark.parametrize("event", [(7,), (1, 8, 8), (3, 5, 6), (2, 9), (2, 3, 4, 5)])
def test_patches_are_put_together_as_they_were_cut(event):
    cut, x = Patches(event, 2), torch.randn(3, *event)
    tokens = cut.split(x)
    assert tokens.shape == (3, cut.tokens, cut.width)
    assert torch.equal(cut.join(tokens), x)
    several = torch.cat([tokens, 2 * tokens], 2)  # the heads of one place lie beside each other
    assert torch.equal(cut.join(several), torch.cat([x, 2 * x], 1))


def test_patches_are_neighbourhoods():
    """The first token of an image is its upper left corner, the second the one to the right of it."""
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert Patches((1, 4, 4), 2).split(x)[0, :2].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]]


def test_dit_without_places_does_not_know_where_a_patch_is():
    """Moving the patches about moves what is predicted along; with the learned places it does not."""
    torch.manual_seed(0)
    spec = DiT(width=16, depth=2, head_width=8)
    net, cut, order = awake(spec.build((1, 8, 8), {})), Patches((1, 8, 8), 2), torch.randperm(16)
    x, t = torch.randn(2, 1, 8, 8), torch.rand(2)
    moved = cut.join(cut.split(x)[:, order])
    assert not torch.allclose(net(moved, t), cut.join(cut.split(net(x, t))[:, order]), atol=1e-3)
    with torch.no_grad():
        net.get_parameter("places").zero_()
    torch.testing.assert_close(net(moved, t), cut.join(cut.split(net(x, t))[:, order]))


def test_dit_attends_as_written_out():
    """One block against the formula in plain linear algebra."""
    torch.manual_seed(0)
    net = awake(DiT(width=16, depth=1, head_width=8).build((1, 4, 4), {})).double()
    block = net.get_submodule("blocks.0")
    h, e = torch.randn(2, 4, 16).double(), torch.randn(2, 16).double()
    s1, b1, g1, s2, b2, g2 = (part[:, None] for part in block.modulation(e).chunk(6, 1))
    norm = lambda u: (u - u.mean(2, keepdim=True)) / (u.var(2, correction=0, keepdim=True) + 1e-5).sqrt()  # noqa: E731
    q, k, v = block.qkv((1 + s1) * norm(h) + b1).chunk(3, 2)
    heads = [
        torch.softmax(a @ b.transpose(1, 2) / 8**0.5, 2) @ c
        for a, b, c in zip(q.split(8, 2), k.split(8, 2), v.split(8, 2), strict=True)
    ]
    middle = h + g1 * block.project(torch.cat(heads, 2))
    torch.testing.assert_close(block(h, e[:, None]), middle + g2 * block.network((1 + s2) * norm(middle) + b2))


def test_rotary_products_depend_on_the_distance_of_places_only():
    """A turned query and a turned key are moved about the grid together."""
    turn, grid = Rotary((5, 6), 12).double(), (5, 6)
    q, k = torch.randn(2, 12).double()
    products = torch.einsum("aid,bjd->ij", *(turn(u.expand(1, 1, 30, 12))[0] for u in (q, k)))
    products = products.reshape(*grid, *grid)
    torch.testing.assert_close(products[0, 0, 2, 1], products[2, 4, 4, 5])
    torch.testing.assert_close(products[3, 2, 1, 0], products[2, 4, 0, 2])
    assert abs(products[0, 0, 2, 1] - products[0, 0, 1, 2]) > 1e-3
    torch.testing.assert_close(turn(q.expand(1, 1, 30, 12)).square().sum(3), q.square().sum().expand(1, 1, 30))
    torch.testing.assert_close(turn(q.expand(1, 1, 30, 12))[0, 0, 0], q)


def test_rotary_places_are_seen():
    torch.manual_seed(0)
    net = awake(DiT(width=16, depth=2, head_width=8, positions="rotary").build((1, 8, 8), {}))
    cut, order = Patches((1, 8, 8), 2), torch.randperm(16)
    x, t = torch.randn(2, 1, 8, 8), torch.rand(2)
    moved = cut.join(cut.split(x)[:, order])
    assert not torch.allclose(net(moved, t), cut.join(cut.split(net(x, t))[:, order]), atol=1e-3)


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_dit_attends_by_one_fused_kernel_a_block(positions):
    """The profiler sees the framework's flash kernel, and no softmax of its own."""
    net = DiT(width=32, depth=3, head_width=16, positions=positions).build((1, 8, 8), {})
    with torch.no_grad(), torch.profiler.profile() as profile:
        net(torch.randn(2, 1, 8, 8), torch.rand(2))
    calls = {event.key: event.count for event in profile.key_averages()}
    fused = [count for name, count in calls.items() if "scaled_dot_product_flash" in name or "sdpa_flash" in name]
    assert fused and max(fused) == 3 and "aten::_softmax" not in calls, calls


def test_absent_entries_share_the_null_vector_per_column():
    torch.manual_seed(0)
    embed = ConditionEmbedding(SCHEMA, 8)
    code, dose = torch.tensor([-1, 0, -1]), torch.tensor([[torch.nan, 0.0], [torch.nan, torch.nan], [1.0, 2.0]])
    both = embed({"label": code, "dose": dose}, 3)
    null = embed(None, 3)
    torch.testing.assert_close(both[0], null[0])
    torch.testing.assert_close(embed({"label": code}, 3)[1], both[1])
    torch.testing.assert_close(embed({"dose": dose}, 3)[2], both[2])
    assert not torch.allclose(both[2], null[2])


def test_absent_entries_leak_no_nan_into_gradients():
    embed = ConditionEmbedding(SCHEMA, 8)
    dose = torch.full((4, 2), torch.nan, requires_grad=True)
    embed({"label": torch.full((4,), -1), "dose": dose}, 4).sum().backward()
    for p in [*embed.parameters(), dose]:
        assert p.grad is None or torch.isfinite(p.grad).all()


def test_continuous_conditions_are_standardised():
    torch.manual_seed(0)
    plain, scaled = Column(), Column(None, 1, 5.0, 2.0)
    first, second = ConditionEmbedding({"x": plain}, 4), ConditionEmbedding({"x": scaled}, 4)
    second.load_state_dict(first.state_dict())
    value = torch.randn(5)
    torch.testing.assert_close(first({"x": value}, 5), second({"x": 5 + 2 * value[:, None]}, 5))


def test_fourier_features_are_sines_and_cosines():
    t = torch.rand(5).double()
    features = FourierTime(3, low=0.5, high=2.0).double()(t)
    angle = 2 * torch.pi * t[:, None] * torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(features, torch.cat([angle.sin(), angle.cos()], 1), rtol=0, atol=1e-6)


class CountKernels(TorchDispatchMode):
    """Counts what is launched; views are free."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def test_default_mlp_launches_no_more_than_a_plain_stack():
    layers = [nn.Linear(3, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU(), nn.Linear(256, 256), nn.GELU()]
    plain, net = nn.Sequential(*layers, nn.Linear(256, 2)), MLP().build((2,), {})
    x, t = torch.randn(4, 2), torch.rand(4)
    with torch.no_grad(), CountKernels() as ours:
        net(x, t)
    with torch.no_grad(), CountKernels() as theirs:
        plain(torch.cat([x, t[:, None]], 1))
    assert ours.count == theirs.count


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: MLP(width=0),
        lambda: MLP(depth=0),
        lambda: MLP(activation="sliu"),  # pyright: ignore
        lambda: UNet(channels=0),
        lambda: UNet(multipliers=()),
        lambda: UNet().build((2,), {}),
        lambda: DiT(depth=0),
        lambda: DiT(width=48, head_width=32),
        lambda: DiT(positions="absolute"),
        lambda: DiT(width=6, head_width=2, positions="rotary").build((1, 4, 4), {}),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(InputError):
        wrong()
