"""Networks that see points among their conditions."""

import pytest
import torch

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.networks import MLP, Concatenated, FrozenWhereKnown, UNet


def conditions(shape, rows=5):
    size = torch.Size(shape).numel()
    known = (torch.arange(size) % 3 == 0).float().expand(rows, -1)
    schema = {"observation": Column(None, size), "known": Column(None, size), "label": Column((0, 1))}
    return schema, {"observation": torch.randn(rows, size), "known": known, "label": torch.zeros(rows).long()}


def untied(net):
    """Networks start at zero: give the last layer something to say."""
    torch.manual_seed(0)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return net


@pytest.mark.parametrize("inner, shape", [(MLP(width=8), (6,)), (UNet(channels=8), (2, 4, 4))])
@pytest.mark.parametrize("heads", [1, 2])
def test_shapes_and_what_is_seen(inner, shape, heads):
    schema, condition = conditions(shape)
    spec = FrozenWhereKnown(Concatenated(inner, ("observation", "known")))
    assert build(describe(spec)) == spec
    net = untied(spec.build(shape, schema, heads))
    x, t = torch.randn(5, *shape), torch.rand(5)
    value = net(x, t, condition)
    assert value.shape == (5, heads * shape[0], *shape[1:])
    known = condition["known"].reshape(x.shape).bool()
    for head in value.chunk(heads, 1):
        assert (head[known] == 0).all() and (head[~known] != 0).all()
    other = net(x, t, condition | {"observation": condition["observation"] + 1})
    assert (other - value).abs().max() > 1e-4  # the observation reaches the network
    third = net(x, t, condition | {"label": torch.ones(5).long()})
    assert (third - value).abs().max() > 1e-4  # other conditions still do


def test_all_fitting_columns_by_default_and_absent_values():
    schema, condition = conditions((6,))
    net = untied(Concatenated(MLP(width=8)).build((6,), schema))
    x, t = torch.randn(5, 6), torch.rand(5)
    gone = {name: torch.full_like(v, torch.nan) if v.is_floating_point() else v for name, v in condition.items()}
    zero = {name: torch.zeros_like(v) if v.is_floating_point() else v for name, v in condition.items()}
    torch.testing.assert_close(net(x, t, gone), net(x, t, zero))


def test_what_is_refused():
    schema, _ = conditions((6,))
    with pytest.raises(InputError, match="'label' is a map"):
        Concatenated(MLP(), ("label",)).build((6,), schema)
    with pytest.raises(InputError, match="nothing to append"):
        Concatenated(MLP()).build((4,), schema)
    with pytest.raises(InputError, match=r"'knwon'.*known"):
        FrozenWhereKnown(MLP(), "knwon").build((6,), schema)


def test_a_map_may_have_channels_of_its_own():
    schema = {"known": Column(None, 16), "classes": Column(None, 48)}
    net = untied(Concatenated(UNet(channels=8), ("known", "classes")).build((2, 4, 4), schema))
    condition = {"known": torch.ones(5, 16), "classes": torch.zeros(5, 48)}
    x, t = torch.randn(5, 2, 4, 4), torch.rand(5)
    value = net(x, t, condition)
    assert value.shape == x.shape
    assert (net(x, t, condition | {"classes": torch.ones(5, 48)}) - value).abs().max() > 1e-4
    with pytest.raises(InputError, match="'odd' is a map"):
        Concatenated(UNet(channels=8), ("odd",)).build((2, 4, 4), {"odd": Column(None, 17)})
