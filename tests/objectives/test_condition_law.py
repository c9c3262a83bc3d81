"""Noise on the condition by time."""

import pytest
import torch

import pushforward as pf
from pushforward.conditions import Column, encode
from pushforward.errors import InputError
from pushforward.networks import MLP
from pushforward.objectives import FlowMatching, TimeNoise
from pushforward.training import Trainer

SCHEMA = {"condition": Column(width=2, shift=1.0, scale=3.0)}


def test_level_follows_the_time():
    law, generator = TimeNoise(maximum=4.0, power=2.0), torch.Generator().manual_seed(0)
    for t in (0.0, 0.5, 1.0):
        level = law.level(torch.full((20_001,), t), generator=generator)
        centre = torch.tensor(2 * (1 - t) ** 2 - 1)
        assert abs(float(level.median()) - 4 * float(centre.sigmoid())) < 0.05
        quantile = 4 * float((centre + 1).sigmoid())
        assert abs(float((level < quantile).double().mean()) - 0.8413) < 0.01


def test_noise_has_the_size_of_its_level_in_every_entry():
    law, rows = TimeNoise(maximum=2.0), 20_000
    clean = {"condition": torch.ones(rows, 2), "other": torch.zeros(rows, dtype=torch.long)}
    noisy = law(clean, torch.rand(rows), SCHEMA, generator=torch.Generator().manual_seed(0))
    eps = (noisy["condition"] - 1) / (3.0 * noisy["condition noise"])
    torch.testing.assert_close(torch.cov(eps.T), torch.eye(2), atol=0.05, rtol=0)
    assert (clean["condition"] == 1).all() and noisy["other"] is clean["other"]


def test_network_is_told_the_level_and_users_need_not_say_it():
    schema = TimeNoise().schema(SCHEMA)
    encoded = encode({"condition": torch.ones(3, 2)}, schema, 3)
    assert encoded["condition noise"].tolist() == [[0.0]] * 3


def test_law_that_does_not_fit_says_so():
    with pytest.raises(InputError, match=r"'image'.*did you mean"):
        TimeNoise("image").schema({"images": Column()})
    with pytest.raises(InputError, match="categories"):
        TimeNoise("label").schema({"label": Column(("a", "b"))})
    with pytest.raises(InputError, match="maximum"):
        TimeNoise(maximum=0.0)
    with pytest.raises(InputError, match="no condition"):
        TimeNoise()(None, torch.zeros(2), SCHEMA)


def test_fit_saves_loads_and_resumes(tmp_path):
    condition = torch.randn(64, 2)
    objective = FlowMatching(condition_law=TimeNoise(maximum=1.0), condition_dropout=0.2)

    def train(out, steps, resume=False):
        trainer = Trainer(steps=steps, batch_size=16, checkpoint_every=2, decay="constant", warmup=0)
        return pf.fit(
            "gaussian", condition + torch.randn(64, 2, generator=torch.Generator().manual_seed(0)), condition=condition,
            network=MLP(width=8), objective=objective, trainer=trainer, out=out, resume=resume, show_progress=False,
        )  # fmt: skip

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    train(tmp_path / "parts", 4, resume=True)
    again, x = pf.load(tmp_path / "parts"), torch.randn(3, 2)
    clean, noisy = ({"condition": condition[:3]} | extra for extra in ({}, {"condition noise": [0.9] * 3}))
    torch.testing.assert_close(whole.push(x, clean), again.push(x, clean))
    assert not torch.allclose(again.push(x, clean), again.push(x, noisy))
