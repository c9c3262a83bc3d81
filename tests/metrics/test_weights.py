"""Effective shares and tilts against what is known of them."""

import math

import pytest
import torch

from pushforward.errors import InputError
from pushforward.metrics import effective_share, marginal_tilt


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_share_of_equal_single_and_tiny_weights():
    assert float(effective_share(torch.full((7,), 3.0))) == pytest.approx(1)
    assert float(effective_share(torch.eye(5)[2])) == pytest.approx(0.2)
    assert float(effective_share(torch.full((4,), 1e-30))) == pytest.approx(1)  # squares would vanish
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        effective_share(torch.ones(2, 2))


def test_tilt_of_gaussians_has_its_closed_form():
    """N(0, 1) and N(1, 1) under exp(-|x - y|^2 / (2 epsilon)), epsilon = 2: the source becomes N(1/4, 3/4)."""
    x, y = (torch.randn(3000, generator=rng(s), dtype=torch.float64) + m for s, m in ((0, 0.0), (1, 1.0)))
    tilt = marginal_tilt(-(x[:, None] - y).square() / 4)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    normal = lambda m, v: torch.exp(-(grid - m).square() / (2 * v)) / math.sqrt(2 * math.pi * v)  # noqa: E731
    exact = float(torch.trapezoid((normal(0.25, 0.75) - normal(0.0, 1.0)).abs(), grid)) / 2
    assert tilt.source == pytest.approx(exact, abs=0.015) and tilt.target == pytest.approx(exact, abs=0.015)
    assert tilt.share == pytest.approx(0.80, abs=0.02)


def test_a_weight_of_one_side_alone_tilts_that_side_alone():
    log_weight = torch.tensor([0.0, math.log(3.0)])[:, None].expand(2, 5)
    tilt = marginal_tilt(log_weight)
    assert tilt.source == pytest.approx(0.25) and tilt.target == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(InputError, match="wanted"):
        marginal_tilt(torch.zeros(3))
