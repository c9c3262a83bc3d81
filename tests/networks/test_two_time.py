"""Networks of two times: every architecture can be one, in forward mode too."""

import pytest
import torch
from torch import nn

from pushforward.conditions import Column
from pushforward.contracts import TwoTimeField
from pushforward.errors import InputError
from pushforward.networks import MLP, DiT, Field, FlowHead, TwoTime, TwoTimes, UNet
from pushforward.objectives import total_derivative
from pushforward.paths import Affine

SCHEMA = {"label": Column(("a", "b")), "dose": Column(None, 1)}
CASES = [
    (MLP(width=16, depth=2, time_features=2), (2,)),
    (MLP(width=16, residual=True, activation="silu"), (3,)),
    (UNet(channels=8), (1, 6, 5)),
    (DiT(width=16, depth=2, head_width=8), (1, 4, 4)),
    (TwoTime(MLP(width=16, depth=2), "end").network, (2,)),
]


def awake(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def inputs(event: tuple[int, ...], n: int = 4):
    g = torch.Generator().manual_seed(0)
    x, v = torch.randn(2, n, *event, generator=g)
    s, e = torch.rand(2, n, generator=g).sort(0).values
    return x, s, e, v, {"label": torch.tensor([0, 1, -1, 1]), "dose": torch.randn(n, 1, generator=g)}


@pytest.mark.parametrize(("spec", "event"), CASES, ids=lambda case: str(case)[:20])
@pytest.mark.parametrize("tells", ["interval", "end"])
def test_derivative_through_every_network(spec, event, tells):
    """Forward mode gives the derivative, which can be differentiated again."""
    torch.manual_seed(0)
    net = awake(TwoTime(spec, tells).build(event, SCHEMA)).double()
    assert isinstance(net, TwoTimeField)
    x, s, e, v, condition = inputs(event)
    x, s, e, v = (value.double() for value in (x, s, e, v))
    u = lambda x, s, e: net.mean_velocity(x, s, e, condition)  # noqa: E731
    h = 1e-5
    wanted = (u(x + h * v, s + h, e) - u(x - h * v, s - h, e)) / (2 * h)
    found = total_derivative(u, x, s, e, v, graph=True)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)
    found.square().mean().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in net.parameters())
    torch.testing.assert_close(net(x, s, condition), u(x, s, s))


@pytest.mark.parametrize(("spec", "event"), CASES[:4], ids=lambda case: str(case)[:20])
def test_tangents_stay_in_full_precision_under_autocast(spec, event):
    torch.manual_seed(0)
    net = awake(TwoTime(spec).build(event, SCHEMA))
    x, s, e, v, condition = inputs(event)
    u = lambda x, s, e: net.mean_velocity(x, s, e, condition)  # noqa: E731
    exact = total_derivative(u, x, s, e, v)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(total_derivative(u, x, s, e, v), exact)
        assert net.mean_velocity(x, s, e, condition).dtype == torch.bfloat16


def test_what_is_compiled_is_passed_over_in_forward_mode():
    torch.manual_seed(0)
    net = awake(TwoTime(MLP(width=8)).build((2,), {}))
    x, s, e, v, _ = inputs((2,))
    before, exact = net.mean_velocity(x, s, e), total_derivative(net.mean_velocity, x, s, e, v)
    net.compile(backend="eager")
    torch.testing.assert_close(net.mean_velocity(x, s, e), before)
    assert torch.equal(total_derivative(net.mean_velocity, x, s, e, v), exact)


def test_says_nothing_of_the_end_before_training():
    torch.manual_seed(0)
    field = Field(TwoTime(UNet(channels=8)), Affine(), (1, 4, 4), SCHEMA)
    nn.init.normal_(field.network.network.last.weight)
    x, s, e, _, condition = inputs((1, 4, 4))
    torch.testing.assert_close(field.mean_velocity(x, s, e, condition), field.velocity(x, s, condition))
    assert field.velocity(x, s, condition).abs().sum() > 0


@pytest.mark.parametrize(("spec", "event"), CASES[:4], ids=lambda case: str(case)[:20])
def test_goes_on_from_a_trained_network(spec, event):
    """The flow map starts as the flow, and its end can be learnt: gradients reach what is new."""
    torch.manual_seed(0)
    field = Field(spec, Affine(), event, SCHEMA)
    awake(field)
    told = TwoTimes().adapted(field)
    x, s, e, _, condition = inputs(event)
    torch.testing.assert_close(told.mean_velocity(x, s, e, condition), field.velocity(x, s, condition))
    told.mean_velocity(x, s, e, condition).square().sum().backward()
    new = [p.grad for name, p in told.network.named_parameters() if "columns.2" in name and p.ndim > 1]
    assert any(g is not None and g.abs().sum() > 0 for g in new)
    assert TwoTimes().adapted(told) is told


def test_mistakes():
    with pytest.raises(InputError, match="average velocity alone"):
        TwoTime(MLP()).build((2,), {}, heads=2)
    with pytest.raises(InputError, match="TwoTime tells"):
        TwoTime(MLP(), "ende")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="module"):
        TwoTimes().adapted(Field(nn.Identity(), Affine(), (2,), {}))
    with pytest.raises(InputError, match="second time"):
        TwoTimes().adapted(Field(MLP(width=8), Affine(data_std=1.0), (2,), {}))
    with pytest.raises(InputError, match="told one time"):
        Field(FlowHead(), Affine(), (2,), {}).mean_velocity(torch.zeros(1, 2), torch.zeros(1), torch.ones(1))
