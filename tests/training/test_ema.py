import pytest
import torch
from torch import nn

from pushforward.training import EMA


def test_average_follows_its_formula():
    net = nn.Linear(2, 1, bias=False)
    expected = net.weight.detach().clone()
    ema = EMA(net, 0.9)
    for step in range(30):
        with torch.no_grad():
            net.weight += 1.0
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
    torch.testing.assert_close(ema.state()["weight"], expected)


@pytest.mark.parametrize("steps", [40, 100, 1000])
def test_average_over_many_steps_is_nearly_that_of_every_step(steps):
    torch.manual_seed(0)
    net = nn.Linear(2, 1, bias=False)
    expected = net.weight.detach().clone()
    ema = EMA(net, 0.995)
    for step in range(steps):
        with torch.no_grad():
            net.weight.copy_(torch.tensor([[step / 100, 1.0]]) + 0.1 * torch.randn(1, 2))
        ema.update(step)
        decay = min(0.995, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * net.weight.detach()
    torch.testing.assert_close(ema.state()["weight"], expected, rtol=0.02, atol=0.03)


def test_no_average_means_the_last_weights():
    net = nn.Linear(2, 1, bias=False)
    ema = EMA(net, 0.0)
    for step in range(105):
        with torch.no_grad():
            net.weight += 1.0
        ema.update(step)
    torch.testing.assert_close(ema.state()["weight"], net.weight.detach())


def test_frozen_parameters_are_not_held_twice():
    net = nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 1))
    frozen = {name: value.clone() for name, value in net[0].state_dict().items()}
    ema = EMA(net, 0.9)
    assert list(ema.state()) == ["1.weight", "1.bias"]
    with torch.no_grad():
        net[1].weight += 1
    ema.update(0)
    with ema.swapped():
        assert all(torch.equal(value, frozen[name]) for name, value in net[0].state_dict().items())
    again, older = EMA(net, 0.9), {f"0.{name}": value for name, value in frozen.items()} | ema.state()
    again.load(older)  # as checkpoints once were
    assert all(torch.equal(value, ema.state()[name]) for name, value in again.state().items())


def test_swapped_puts_the_average_in_and_the_weights_back():
    net = nn.BatchNorm1d(3)
    ema = EMA(net, 0.5)
    live = {name: value.clone() for name, value in net.state_dict().items()}
    with torch.no_grad():
        net.weight += 1
        net.running_mean += 2
    ema.update(99)
    with ema.swapped():
        torch.testing.assert_close(net.weight, live["weight"] + 0.5)
        torch.testing.assert_close(net.running_mean, live["running_mean"] + 2)  # buffers are copied
    torch.testing.assert_close(net.weight, live["weight"] + 1)
