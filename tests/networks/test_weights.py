"""Weights carried into another network, and differences added to a sibling."""

import pytest
import torch

from pushforward.errors import InputError
from pushforward.networks import MLP, Field, WeightDelta, carried_over
from pushforward.paths import VP, Affine, Windows


def field(width=8, seed=0, network=None, path=None):
    torch.manual_seed(seed)
    made = Field(network or MLP(width), path or Affine(), (2,), {})
    for weight in made.parameters():
        torch.nn.init.normal_(weight)
    return made


def test_a_difference_makes_of_the_first_the_second_and_of_a_sibling_its_like():
    before, after, sibling = field(seed=1), field(seed=2), field(seed=3)
    delta, kept = WeightDelta.between(before, after), sibling.state_dict()
    x, t = torch.randn(5, 2), torch.rand(5)
    torch.testing.assert_close(delta.added(before)(x, t), after(x, t))
    assert torch.equal(delta.added(sibling, 0.0)(x, t), sibling(x, t))
    for name, weight in delta.added(sibling, 0.5).state_dict().items():
        torch.testing.assert_close(weight, kept[name] + 0.5 * delta.weights[name])
    assert all(torch.equal(weight, kept[name]) for name, weight in sibling.state_dict().items())  # left as it was


def test_weights_are_carried_over():
    old, x, t = field(), torch.randn(5, 2), torch.rand(5)
    assert torch.equal(carried_over(old, Affine(VP()))(x, t), old(x, t))
    told = carried_over(old, Windows(Affine()))
    assert torch.equal(told(x, t), old(x, t)) and len(told.state_dict()) > len(old.state_dict())


def test_other_weights_are_refused():
    with pytest.raises(InputError, match="do not fit the new one, first network"):
        carried_over(field(path=Affine(data_std=1.0)), Affine())
    with pytest.raises(InputError, match="weights differ, first network"):
        WeightDelta.between(field(8), field(9))
    with pytest.raises(InputError, match="weights differ"):
        WeightDelta.between(field(8, 1), field(8, 2)).added(field(8, path=Windows(Affine())))
    with pytest.raises(InputError, match="is a module"):
        _ = field(network=MLP(8).build((2,), {})).architecture
