import math
import signal
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import pushforward as pf
from pushforward.configuration import Recorded
from pushforward.couplings import Independent
from pushforward.errors import InputError
from pushforward.measures import Gaussian
from pushforward.networks import MLP, DiT
from pushforward.objectives import FlowMatching
from pushforward.training import Diverged, read_config, read_history

FAST = pf.Trainer(steps=20, batch_size=32, warmup=2, log_every=10)
SMALL = MLP(width=16, depth=1)


def test_learns_the_closed_form_map_between_gaussians():
    """Between independent Gaussians the flow's map is m1 + s1 / s0 (x - m0) in each coordinate (few-step theory, one
    line).
    """
    mean, scale = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 2.0])
    target = Gaussian(mean, torch.diag(scale**2))
    trainer = pf.Trainer(steps=1500, batch_size=256, learning_rate=2e-3, ema=0.99)
    transport = pf.fit("gaussian", target, network=MLP(width=64, depth=2), trainer=trainer)
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    error = (transport.push(x) - (mean + scale * x)).square().mean().sqrt()
    assert error < 0.12
    y = target.sample(300, generator=torch.Generator().manual_seed(1))
    assert (transport.log_prob(y) - target.log_prob(y)).abs().mean() < 0.12
    assert (transport.pull(transport.push(x)) - x).abs().max() < 1e-3


def test_same_seed_same_bits_other_seed_other_bits():
    a, b, c = (pf.fit("ring", "moons-torchdyn", network=SMALL, trainer=FAST, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(a.parameters(), c.parameters(), strict=True))


def test_global_random_state_is_left_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    pf.fit("ring", "moons-torchdyn", network=SMALL, trainer=FAST)
    assert torch.equal(torch.rand(1), expected)


def test_save_and_load_give_the_same_transport(tmp_path):
    x1 = np.random.default_rng(0).normal(5, 3, (200, 3))
    transport = pf.fit(
        "gaussian", x1, condition={"type": ["a", "b"] * 100}, network=SMALL, trainer=FAST, out=tmp_path / "run"
    )
    again = pf.load(tmp_path / "run")
    x = torch.randn(7, 3)
    assert torch.equal(again.push(x, {"type": "b"}), transport.push(x, {"type": "b"}))
    assert not torch.equal(again.push(x, {"type": "a"}), again.push(x, {"type": "b"}))
    assert torch.equal(again.log_prob(x, {"type": "a"}), transport.log_prob(x, {"type": "a"}))
    config = read_config(tmp_path / "run")
    assert config["network"] == {"class_path": "pushforward.networks.MLP", "init_args": config["network"]["init_args"]}
    assert config["trainer"]["steps"] == 20 and config["source"] == "gaussian"
    rows = read_history(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows] == [10, 20]
    assert all(math.isfinite(row["loss"]) and row["learning_rate"] > 0 for row in rows)


def test_frames_bring_far_away_data_to_the_network_and_back():
    x0 = torch.randn(500, 2) * 30 + 1000
    x1 = x0 * torch.tensor([1.0, 0.5]) + torch.tensor([0.0, 900.0])
    transport = pf.fit(x0, x1, network=MLP(width=64, depth=2), trainer=pf.Trainer(steps=400, batch_size=128, ema=0.95))
    pushed = transport.push(x0)
    assert ((pushed.mean(0) - x1.mean(0)).abs() < 15).all()  # the means are 400 apart
    path = transport.trajectory(x0[:5], times=6)
    assert path.path.shape == (6, 5, 2)
    torch.testing.assert_close(path.path[0], x0[:5], rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(path.path[-1], path.x)


def test_conditions_reach_the_field():
    labels = torch.arange(600) % 3
    x1 = torch.randn(600, 2) * 0.1 + torch.tensor([[0.0, 4.0], [4.0, 0.0], [-4.0, -4.0]])[labels]
    transport = pf.fit(
        "gaussian",
        x1,
        condition=labels,
        network=MLP(width=64, depth=2),
        trainer=pf.Trainer(steps=500, batch_size=128, ema=0.98),
    )
    for label in range(3):
        pushed = transport.push(torch.randn(100, 2), label)
        assert (pushed.mean(0) - x1[labels == label].mean(0)).norm() < 0.6


class Own(nn.Module, Recorded):
    """A network of the user's own."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, 2), nn.Dropout(0.1))

    def forward(self, x, t, condition=None):
        return self.net(torch.cat([x, t[:, None]], 1))


def test_own_network_saves_loads_and_resumes_with_dropout(tmp_path):
    trainer = {"batch_size": 16, "warmup": 2, "checkpoint_every": 5}
    whole = pf.fit(
        "ring", "moons-torchdyn", network=Own(5), trainer=pf.Trainer(steps=10, **trainer), out=tmp_path / "a"
    )
    assert torch.equal(pf.load(tmp_path / "a").push(torch.ones(3, 2)), whole.push(torch.ones(3, 2)))
    latest = sorted((tmp_path / "a" / "checkpoints").iterdir())[-1]
    latest.unlink()
    again = pf.fit(
        "ring",
        "moons-torchdyn",
        network=Own(5),
        trainer=pf.Trainer(steps=10, **trainer),
        out=tmp_path / "a",
        resume=True,
    )
    assert all(torch.equal(x, y) for x, y in zip(whole.parameters(), again.parameters(), strict=True))


class Exploding(nn.Module, Recorded):
    """Becomes non-finite at its tenth step."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.calls = 0

    def forward(self, x, t, condition=None):
        self.calls += self.training
        return x * self.weight + (torch.inf if self.calls == 10 else 0.0)


def test_divergence_stops_with_the_last_good_state_saved(tmp_path):
    with pytest.raises(Diverged, match=r"at step 9; the last good state is .*step-000000009"):
        pf.fit("ring", "moons-torchdyn", network=Exploding(), trainer=FAST, out=tmp_path / "a")
    assert (tmp_path / "a" / "checkpoints").exists()


class Interrupting(nn.Module, Recorded):
    """Presses Ctrl-C in the middle of its seventh training step, once."""

    pressed = 0

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x, t, condition=None):
        Interrupting.pressed += self.training
        if Interrupting.pressed == 7:
            Interrupting.pressed = 100
            signal.raise_signal(signal.SIGINT)
        return x * self.weight + t[:, None]


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        pf.fit("ring", "moons-torchdyn", network=Interrupting(), trainer=FAST, out=tmp_path / "a")
    assert [file.name for file in (tmp_path / "a" / "checkpoints").iterdir()] == ["step-000000007.safetensors"]
    resumed = pf.fit("ring", "moons-torchdyn", network=Interrupting(), trainer=FAST, out=tmp_path / "a", resume=True)
    whole = pf.fit("ring", "moons-torchdyn", network=Interrupting(), trainer=FAST, out=tmp_path / "b")
    assert torch.equal(resumed.field.network.weight, whole.field.network.weight)


def test_bfloat16_trains_and_keeps_float32_weights():
    trainer = pf.Trainer(steps=30, batch_size=64, warmup=2, precision="bfloat16")
    transport = pf.fit("gaussian", "moons-torchdyn", network=SMALL, trainer=trainer)
    assert all(p.dtype == torch.float32 and torch.isfinite(p).all() for p in transport.parameters())
    pf.fit("gaussian", "moons-torchdyn", network=SMALL, trainer=FAST)  # another precision in the same process


def test_images_get_a_unet():
    images = torch.rand(64, 1, 8, 8) * 2 - 1
    transport = pf.fit("gaussian", images, trainer=pf.Trainer(steps=2, batch_size=8, warmup=0))
    assert type(transport.field.network).__name__ != "MLP"
    assert transport.push(torch.randn(2, 1, 8, 8), steps=2).shape == (2, 1, 8, 8)


def test_a_transformer_is_fitted_saved_and_resumed(tmp_path):
    images, options = torch.rand(64, 1, 4, 4) * 2 - 1, {"network": DiT(width=8, depth=1, head_width=8), "out": tmp_path}
    trainer = pf.Trainer(steps=4, batch_size=8, warmup=0, checkpoint_every=2)
    whole = pf.fit("gaussian", images, trainer=trainer, **options)
    x = torch.randn(2, 1, 4, 4)
    assert torch.equal(pf.load(tmp_path).push(x, steps=2), whole.push(x, steps=2))
    assert not torch.equal(whole.field(x, torch.zeros(2)), torch.zeros_like(x))
    (tmp_path / "checkpoints" / "step-000000004.safetensors").unlink()
    resumed = pf.fit("gaussian", images, trainer=trainer, resume=True, **options)
    assert torch.equal(resumed.push(x, steps=2), whole.push(x, steps=2))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": torch.randn(5, 3)}, r"rows of shape \(3,\)"),
        ({"target": torch.tensor([[0.0, torch.nan]])}, "1 non-finite value, first at row 0"),
        ({"target": torch.zeros(0, 2)}, "empty"),
        ({"target": "moons-torchdny"}, "did you mean 'moons-torchdyn'"),
        ({"trainer": {"steps": 0}}, "trainer.steps must be at least 1"),
        ({"trainer": {"ema": 1.5}}, r"trainer.ema must lie in \[0, 1\)"),
        ({"condition": [1, 2, 3], "target": torch.randn(5, 2)}, "3 rows but there are 5"),
        ({"predicts": "score", "coupling": "MinibatchOT"}, "score"),
        ({"copling": "Independent"}, "no option 'copling'; did you mean 'coupling'"),
        ({"network": {"class_path": "MLPP"}}, "did you mean 'MLP'"),
    ],
)
def test_bad_input_is_named_before_any_work(arguments, message, tmp_path):
    from pushforward.training import fit_config

    config = {
        "source": "ring",
        "target": "moons-torchdyn",
        "network": {"class_path": "MLP"},
        "out": str(tmp_path / "run"),
    } | arguments
    if isinstance(config.get("coupling"), str):
        config["coupling"] = {"class_path": config["coupling"]}
    with pytest.raises(InputError, match=message):
        fit_config(config)
    assert not (tmp_path / "run").exists()


def test_rates_rise_and_fall():
    trainer = pf.Trainer(steps=100, warmup=10, learning_rate=1.0)
    assert trainer.rate(0) == pytest.approx(0.1) and trainer.rate(9) == 1.0
    assert trainer.rate(55) == pytest.approx(0.5) and trainer.rate(99) < 0.01
    assert pf.Trainer(decay="constant", warmup=0).rate(4999) == 1e-3


def test_log_averages_over_the_steps_between_rows(tmp_path):
    from pushforward.training import TrainingLog

    log = TrainingLog(tmp_path / "m.jsonl", 2, 0)
    for step, loss in enumerate([1.0, 3.0, 5.0, 7.0], start=1):
        log.add(step, {"loss": torch.tensor(loss)}, 0.1)
    assert [row["loss"] for row in read_history(tmp_path / "m.jsonl")] == [2.0, 6.0]
    again = TrainingLog(tmp_path / "m.jsonl", 2, 2)  # killed after step 4, resumed from step 2
    assert [row["step"] for row in again.rows] == [2]


def test_no_warning_in_an_ordinary_fit():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pf.fit("ring", "moons-torchdyn", network=SMALL, coupling=Independent(), objective=FlowMatching(), trainer=FAST)
