import pytest
import torch
from torch import nn

from pushforward.training.adamw import AdamW


def network(dtype: torch.dtype = torch.float32, last: torch.dtype | None = None) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 40).to(dtype), nn.Linear(40, 2).to(last or dtype))


def gradients(net: nn.Module, step: int, missing: int | None = None, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(net.parameters()):
        noise = scale * torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
        parameter.grad = None if number == missing else noise


@pytest.mark.parametrize(
    ("dtype", "last"),
    [(torch.float32, None), (torch.float64, None), (torch.bfloat16, None), (torch.float32, torch.float64)],
)
def test_the_same_bits_as_torch(dtype, last):
    ours, theirs = network(dtype, last), network(dtype, last)
    optimizer = AdamW(ours.parameters(), weight_decay=0.1)
    fused = last is None
    reference = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1, fused=fused or None)
    for step in range(8):
        missing = 1 if step in (0, 4) else None  # a parameter without a gradient falls behind in its own step count
        for net in (ours, theirs):
            gradients(net, step, missing)
        reference.param_groups[0]["lr"] = rate = 1e-2 / (1 + step)
        optimizer.step(rate)
        reference.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    state = optimizer.state()
    for number, entries in reference.state_dict()["state"].items():
        assert state["step"][number] == entries["step"]
        assert all(torch.equal(state[f"{number}/{name}"], entries[name]) for name in ("exp_avg", "exp_avg_sq"))


@pytest.mark.parametrize("last", [None, torch.float64])
def test_the_divisor_divides_the_gradients(last):
    ours, theirs = network(last=last), network(last=last)
    optimizers = [AdamW(net.parameters()) for net in (ours, theirs)]
    for step in range(3):
        gradients(ours, step)
        gradients(theirs, step, scale=0.25)
        optimizers[0].step(1e-2, torch.tensor(4.0))
        optimizers[1].step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_goes_on_from_its_state():
    whole, parts = network(), network()
    first, second = AdamW(whole.parameters()), AdamW(parts.parameters())
    for step in range(6):
        if step == 3:
            saved = {name: value.clone() for name, value in second.state().items()}
            second = AdamW(parts.parameters())
            second.load(saved)
        for net, optimizer in ((whole, first), (parts, second)):
            gradients(net, step)
            optimizer.step(1e-2)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
