"""Policies: demonstrations cut into chunks, an environment with two right answers, roll-outs in it."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import pushforward as pf
from pushforward.applications import (
    Episode,
    GenerativePolicy,
    TwoRouteExpert,
    chunks,
    roll_out,
    seconds_per_action,
    success_rate,
)
from pushforward.errors import InputError, MissingExtra
from pushforward.networks import MLP
from pushforward.objectives import Dispersive, FlowMatching, MeanFlow
from pushforward.recipes.policies import ENVIRONMENT, Policies
from pushforward.training import Trainer


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def shown():
    return roll_out(TwoRouteExpert(), ENVIRONMENT, range(40), generator=gen())


def test_expert_succeeds_by_both_ways_and_never_touches_the_disc(shown):
    assert success_rate(shown) == 1 and all(episode.reward == 1 for episode in shown)
    above = sum(bool(episode.observations[len(episode) // 2, 1] > 0) for episode in shown)
    assert 10 <= above <= 30
    for episode in shown:
        assert episode.actions.norm(dim=1).max() < 0.12 + 1e-6
        way = torch.lerp(episode.observations[:-1, :2], episode.observations[1:, :2], 0.5)
        assert torch.cat([way, episode.observations[:, :2]]).norm(dim=1).min() > 0.3


def test_chunks_repeat_the_first_observation_and_the_last_action():
    seen, done = torch.arange(4.0)[:, None], torch.tensor([[10.0, 0], [11, 0], [12, 0]])
    rows = chunks([Episode(seen, done, 0.0, True)] * 2, window=3, horizon=2)
    assert rows.observations.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]] * 2
    assert rows.actions[..., 0].tolist() == [[10, 11], [11, 12], [12, 12]] * 2
    assert rows.moments.tolist() == [0, 1, 2, 0, 1, 2]
    for wrong in (lambda: chunks([]), lambda: chunks([Episode(seen, done, 0.0, True)], horizon=0)):
        with pytest.raises(InputError, match="chunks need"):
            wrong()


def test_environment_keeps_to_the_interface():
    check_env(gymnasium.make(ENVIRONMENT).unwrapped, skip_render_check=True)


@pytest.fixture
def environment():
    made = gymnasium.make(ENVIRONMENT)
    made.reset(seed=0)
    return made


@pytest.mark.parametrize("height, touches", [(0.295, True), (0.305, False)])
def test_a_step_may_not_lead_through_the_disc(environment, height, touches):
    """Both of its ends lie outside, at 0.301 or more."""
    environment.unwrapped.position = np.array([-0.06, height])
    observation, reward, terminated, _, info = environment.step(np.array([0.12, 0.0], np.float32))
    assert terminated is touches and not info["is_success"] and reward == 0
    np.testing.assert_allclose(observation[:4], [0.06, height, 1, 0], atol=1e-6)


def test_long_actions_are_shortened_and_idle_runs_end(environment):
    start = environment.unwrapped.position.copy()
    environment.step(np.array([-0.12, -0.12], np.float32))
    assert np.linalg.norm(environment.unwrapped.position - start) == pytest.approx(0.12)
    endings = [environment.step(np.zeros(2, np.float32))[2:4] for _ in range(47)]
    assert endings[-1] == (False, True) and not any(map(any, endings[:-1]))


@dataclass
class Straight:
    """Goes where the goal is, through the disc, two actions at a time; remembers for how many runs it planned."""

    window: int = 2

    def __post_init__(self):
        self.planned = []

    def plan(self, observations, *, generator=None):
        self.planned.append(observations.shape)
        way = observations[:, -1, 4:] - observations[:, -1, :2]
        return (0.12 * way / way.norm(dim=1, keepdim=True))[:, None].expand(-1, 2, 2)


def test_runs_end_at_the_disc_and_are_planned_for_together(shown):
    policy = Straight()
    episodes = roll_out(policy, ENVIRONMENT, range(5))
    lengths = [len(episode) for episode in episodes]
    assert success_rate(episodes) == 0 and set(lengths) <= {6, 7}
    going = [sum(length > 2 * k for length in lengths) for k in range(4)]
    assert policy.planned == [(count, 2, 6) for count in going if count]
    assert torch.equal(episodes[3].observations[0], shown[3].observations[0])  # the same seed, the same start


def test_time_for_an_action():
    class Slow(Straight):
        def plan(self, observations, *, generator=None):
            time.sleep(0.01)
            return super().plan(observations)

    assert 0.005 <= seconds_per_action(Slow(), torch.zeros(2, 6), calls=3) < 0.05


def fitted(shown, objective, network=MLP(width=16, depth=2)):
    rows = chunks(shown, window=2, horizon=4)
    return pf.fit(
        "gaussian", rows.actions, condition={"observation": rows.observations}, network=network, objective=objective,
        trainer=Trainer(steps=5, batch_size=16),
    )  # fmt: skip


@pytest.mark.parametrize("objective", [FlowMatching(), Dispersive(("network.hidden.0",), MeanFlow())])
def test_flows_are_policies(shown, objective, tmp_path):
    flow = fitted(shown, objective)
    flow.save(tmp_path)
    windows = torch.randn(3, 2, 6, generator=gen())
    chunk = GenerativePolicy(flow, steps=2).plan(windows, generator=gen(1))
    assert chunk.shape == (3, 4, 2)
    again = GenerativePolicy(pf.load(tmp_path), execute=1, steps=2).plan(windows, generator=gen(1))
    torch.testing.assert_close(again, chunk[:, :1])
    policy = GenerativePolicy(flow, execute=3, steps=1)
    one, two = (roll_out(policy, ENVIRONMENT, [7, 8], generator=gen(2)) for _ in range(2))
    assert all(torch.equal(a.actions, b.actions) for a, b in zip(one, two, strict=True))


def test_what_is_no_policy_says_so(shown, monkeypatch):
    flow = fitted(shown, FlowMatching())
    with pytest.raises(InputError, match="5 moments"):
        GenerativePolicy(flow, window=5)
    with pytest.raises(InputError, match="cannot execute 5"):
        GenerativePolicy(flow, execute=5)
    with pytest.raises(InputError, match=r"got one of \(2,\) given nothing"):
        GenerativePolicy(pf.fit("gaussian", "ring", network=MLP(width=8), trainer=Trainer(steps=1)))
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match=r"pushforward\[control\]"):
        roll_out(Straight(), ENVIRONMENT, [0])


def test_experiment_reports_what_it_says():
    config = {"network": {"class_path": "MLP", "init_args": {"width": 8}}, "trainer": {"steps": 2, "batch_size": 16}}
    tried = {"flow": {"objective": {"class_path": "FlowMatching"}}}
    layers = {"flow": "hidden.0"}
    found = Policies(config, tried, {"flow": [1, 2]}, demonstrations=3, rollouts=2, layers=layers).run(0)
    kinds = ("success", "rarer route", "milliseconds")
    assert set(found) == {f"{kind} flow@{n}" for kind in kinds for n in (1, 2)} | {"crowding flow"}
    assert found["milliseconds flow@2"] > 0 and -1 < found["crowding flow"] < 0
