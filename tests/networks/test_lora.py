"""Low-rank adapters: nothing at first, exactly what they say after, and nothing else trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.contracts import Pairs
from pushforward.errors import InputError
from pushforward.networks import (
    MLP,
    DiT,
    Field,
    LoRA,
    LowRank,
    TwoTime,
    TwoTimes,
    UNet,
    WeightDelta,
    changed_layers,
    merged,
)
from pushforward.objectives import MeanFlow
from pushforward.paths import VP, Affine
from pushforward.training import Trainer


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def awake(network, shape=(2,)):
    """A field with weights everywhere."""
    torch.manual_seed(0)
    field = Field(network, Affine(), shape, {})
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return field.eval()


def moved(field):
    """The same, its trained parameters moved."""
    torch.manual_seed(1)
    for parameter in field.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return field


CASES = [(MLP(width=16), (2,)), (UNet(channels=8), (1, 8, 8)), (DiT(width=32, depth=1), (1, 8, 8))]


@pytest.mark.parametrize("network, shape", CASES, ids=["MLP", "UNet", "DiT"])
def test_nothing_at_first_and_merged_is_the_same(network, shape):
    field = awake(network, shape)
    x, t = torch.randn(5, *shape, generator=gen()), torch.rand(5, generator=gen(1))
    adapted = LoRA(rank=2).adapted(field)
    assert torch.equal(adapted(x, t), field(x, t))
    moved(adapted)
    plain = merged(adapted)
    assert plain.architecture == network and not changed_layers(plain.network)
    torch.testing.assert_close(plain(x, t), adapted(x, t), atol=1e-5, rtol=1e-5)
    assert (plain(x, t) - field(x, t)).abs().max() > 1e-2
    delta = WeightDelta.between(field, plain)
    back = delta.added(plain, -1.0)
    for name, value in field.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, atol=1e-6, rtol=1e-6)


def test_the_change_is_of_low_rank_and_scaled():
    field = awake(MLP(width=16))
    adapted = moved(LoRA(rank=3, alpha=6, layers="hidden").adapted(field))
    change = merged(adapted).network.hidden[0].weight - field.network.hidden[0].weight
    assert torch.linalg.matrix_rank(change, atol=1e-5) == 3
    factors = changed_layers(adapted.network)
    assert set(factors) == {"hidden.0", "hidden.1"}
    torch.testing.assert_close(change, 2 * factors["hidden.0"].up @ factors["hidden.0"].down)
    torch.testing.assert_close(merged(adapted).network.first.weight, field.network.first.weight)


def test_only_changes_are_trained():
    adapted = LoRA(rank=2).adapted(awake(MLP(width=16)))
    trained = {name for name, value in adapted.named_parameters() if value.requires_grad}
    assert trained and all(name.endswith((".down", ".up")) for name in trained)


def test_what_is_new_is_trained_whole_also_in_forward_mode():
    field = awake(MLP(width=16))
    adapted = LoRA(rank=2, on=TwoTimes()).adapted(field)
    x, t = torch.randn(5, 2, generator=gen()), torch.rand(5, generator=gen(1))
    assert torch.equal(adapted.mean_velocity(x, t, 0.5 + t / 2), field(x, t))
    trained = [name for name, value in adapted.named_parameters() if value.requires_grad]
    new = [name for name in trained if not name.endswith((".down", ".up"))]
    assert new and all("condition.columns" in name for name in new)
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    optimiser = torch.optim.SGD([value for value in adapted.parameters() if value.requires_grad], 0.1)
    pairs = Pairs(torch.randn(64, 2, generator=gen(2)), torch.randn(64, 2, generator=gen(3)) + 2)
    for step in range(3):
        optimiser.zero_grad()
        MeanFlow()(adapted, pairs, adapted.path, generator=gen(step)).total.backward()
        optimiser.step()
    changed = {name for name, value in adapted.state_dict().items() if not torch.equal(value, before[name])}
    used = {name for name in new if not name.endswith(".null")}  # which stands for jumps that nobody names
    assert used <= changed <= set(trained)
    assert LoRA().adapted(adapted) is adapted


def test_what_does_not_fit_says_so():
    field = awake(MLP(width=16))
    with pytest.raises(InputError, match="no layer of MLP has a name in which 'attention'"):
        LoRA(layers="attention").adapted(field)
    with pytest.raises(InputError, match="at least 1"):
        LowRank(MLP(), rank=0)
    with pytest.raises(InputError, match="no low-rank changes to merge"):
        merged(field)
    with pytest.raises(InputError, match="cannot carry"):
        TwoTimes().after(LoRA())
    with pytest.raises(InputError, match="nothing says how"):
        LoRA().adapted(Field(nn.Linear(2, 2), Affine(), (2,), {}))


@pytest.mark.parametrize("path", [Affine(), Affine(VP())], ids=["straight", "VP"])
def test_fine_tunes_saves_loads_and_resumes(tmp_path, path):
    short = {"batch_size": 16, "checkpoint_every": 2, "decay": "constant", "warmup": 0, "ema": 0.5}
    flow = pf.fit("gaussian", "ring", network=MLP(width=8), path=path, trainer=Trainer(steps=3, batch_size=16))

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, **short)
        return pf.fit("gaussian", "ring", init=flow, adapter=LoRA(2), trainer=trainer, out=out, resume=resume)

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    x, again = torch.randn(3, 2), pf.load(tmp_path / "parts")
    torch.testing.assert_close(whole.push(x), again.push(x))
    assert not torch.allclose(whole.push(x), flow.push(x))
    assert torch.equal(merged(again.field).network.first.bias, flow.field.network.first.bias)


def test_a_jump_is_told_within():
    with pytest.raises(InputError, match="LowRank\\(TwoTime"):
        TwoTime(LowRank(MLP(8)))
    LowRank(TwoTime(MLP(8))).build((2,), {})
