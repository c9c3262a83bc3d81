"""Floors, path functionals, likelihoods, and the examples of the documentation."""

import math
import re
from pathlib import Path

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.metrics import (
    MMD2,
    EnergyDistance,
    Score,
    SlicedWasserstein2,
    Wasserstein2,
    format_scores,
    negative_log_likelihood,
    path_energy,
    score,
    straightness,
)
from pushforward.randomness import seeded

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def draw(n, key, shift=0.0):
    return shift + torch.randn(n, 2, generator=seeded("scores", key))


def test_value_floor_and_baseline():
    metrics = [Wasserstein2(), SlicedWasserstein2(), EnergyDistance(), MMD2()]
    perfect = score(metrics, draw(400, 0), draw(500, 1), draw(450, 2), source=draw(600, 3, shift=5.0), seed=1)
    poor = score(metrics, draw(400, 0, shift=1.0), draw(500, 1), draw(450, 2), seed=1)
    for good, bad in zip(perfect, poor, strict=True):
        assert good.baseline > bad.value > 2 * bad.floor > 0
        assert good.ratio == pytest.approx(1, abs=0.75) and bad.ratio > 2
        assert good.gap_closed == pytest.approx(1, abs=0.05) and bad.gap_closed is None
        assert good.floor == bad.floor  # of the target alone
    assert perfect == score(metrics, draw(400, 0), draw(500, 1), draw(450, 2), source=draw(600, 3, shift=5.0), seed=1)


def test_the_floor_is_at_the_size_of_the_pushed_sample():
    small, large = (score([EnergyDistance()], draw(n, 0), draw(4000, 1), draw(4000, 2))[0] for n in (50, 4000))
    assert small.floor > 5 * large.floor


def test_one_target_sample_is_split_in_disjoint_halves():
    class Overlap(EnergyDistance):
        def __call__(self, x, y, *, generator=None):
            return float((x[:, None] == y[None]).all(-1).sum())

    (result,) = score([Overlap()], draw(100, 0), draw(200, 1))
    assert result.floor == 0
    with pytest.raises(InputError, match="fresh_target"):
        score([EnergyDistance()], draw(5, 0), draw(1, 1))


def test_scores_without_a_meaningful_ratio():
    assert Score("a", 1.0, -0.1).ratio is None and Score("a", 1.0, 2.0, 1.5).gap_closed is None
    assert "-" in format_scores([Score("a", 1.0, 0.0)]).splitlines()[1].split()


@pytest.mark.parametrize("metric", [Wasserstein2(100), MMD2(0.5)])
def test_pieces_are_rebuilt_from_their_description(metric):
    assert build(describe(metric)) == metric


def conditional_ot_paths(nodes):
    """Flow of N(0, I) to itself along x = t x1 + (1 - t) x0: every point is scaled by sigma_t = sqrt(t^2 + (1 -
    t)^2)."""
    x = torch.randn(4000, 3, dtype=torch.float64, generator=seeded(0))
    sigma = (nodes**2 + (1 - nodes) ** 2).sqrt()
    slope = (2 * nodes - 1) / sigma
    second_moment = x.square().sum(1).mean().item()
    return sigma[:, None, None] * x, slope[:, None, None] * x, second_moment


@pytest.mark.parametrize("given", ["states", "velocities"])
def test_path_functionals_of_the_gaussian_flow(given):
    nodes = torch.linspace(0, 1, 501, dtype=torch.float64)
    states, velocities, second_moment = conditional_ot_paths(nodes)
    expected = (2 - math.pi / 2) * second_moment  # the ends coincide: energy and straightness are one
    arguments = (states, nodes) if given == "states" else (states, nodes, velocities)
    assert path_energy(*arguments).item() == pytest.approx(expected, rel=1e-4)
    assert straightness(*arguments).item() == pytest.approx(expected, rel=1e-4)


def test_straight_paths_have_no_straightness_and_the_least_energy():
    x0, x1 = torch.zeros(5, 1, 2, 2), torch.ones(5, 1, 2, 2)
    nodes = torch.tensor([0.0, 0.1, 1.0])
    states = torch.stack([x0 + t * (x1 - x0) for t in nodes])
    assert straightness(states, nodes).item() == pytest.approx(0, abs=1e-6)
    assert path_energy(states, nodes).item() == pytest.approx(4, rel=1e-6)
    assert path_energy(states, 2 * nodes).item() == pytest.approx(2, rel=1e-6)  # twice the time, half the energy


@pytest.mark.parametrize("states, nodes, velocities, message", [
    (torch.zeros(3, 2), torch.arange(3.0), None, "wanted"),
    (torch.zeros(3, 2, 1), torch.arange(2.0), None, "one for each state"),
    (torch.zeros(3, 2, 1), torch.zeros(3), None, "increase"),
    (torch.zeros(3, 2, 1), torch.arange(3.0), torch.zeros(2, 2, 1), "velocities"),
])  # fmt: skip
def test_paths_of_the_wrong_shape(states, nodes, velocities, message):
    for functional in (path_energy, straightness):
        with pytest.raises(InputError, match=message):
            functional(states, nodes, velocities)


def test_negative_log_likelihood():
    x = torch.randn(20_000, dtype=torch.float64, generator=seeded(0))
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    assert negative_log_likelihood(-0.5 * x**2 - 0.5 * math.log(2 * math.pi)).item() == pytest.approx(entropy, abs=0.02)
    assert negative_log_likelihood(torch.tensor([0.0, -math.inf])) == math.inf
    for bad in (torch.zeros(0), torch.zeros(2, 2), torch.tensor([0.0, math.nan])):
        with pytest.raises(InputError):
            negative_log_likelihood(bad)


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S) if PAGE.exists() else [])
def test_examples_of_the_documentation_run(block):
    exec(compile(block, str(PAGE), "exec"), {})
