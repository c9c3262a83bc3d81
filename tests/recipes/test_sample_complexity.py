"""The law of the learned mean, small; and the network of the theory."""

import torch

from pushforward.networks import SkipAutoencoder
from pushforward.objectives import Discrete
from pushforward.recipes.sample_complexity import LearnedMean, TrainedMean, solve_exactly, two_clouds


def test_constants_and_slopes_of_the_theory():
    figures = LearnedMean(samples=(4, 16, 64), size=500, times=100, rows=50).run(0)
    assert abs(figures["constant fixed"] - 2) < 0.3
    assert abs(figures["constant fresh"] - 1) < 0.25
    assert -1.15 < figures["slope fixed"] < -0.85


def test_exact_solution_minimises_the_squares():
    generator = torch.Generator().manual_seed(0)
    sign, x1 = two_clouds(6, 50, 0.7, generator)
    x0 = torch.randn(1, 6, 50, generator=generator)
    c, w = solve_exactly(sign, x1, x0, 10)
    c, w = c[4].clone().requires_grad_(), w[4].clone().requires_grad_()
    state = torch.lerp(x0[0], x1, 0.4)
    loss = (x1 - c * state - sign * w).square().sum()
    assert all(gradient.abs().max() < 1e-3 for gradient in torch.autograd.grad(loss, (c, w)))


def test_every_time_has_its_own_cell():
    network = SkipAutoencoder(200).build((3,), {})
    with torch.no_grad():
        network.skip.copy_(torch.arange(200.0))
        network.weight.zero_()
    t = Discrete(200).sample(1000).label
    assert torch.equal(network(torch.ones(1000, 3), t)[:, 0], (t * 200).round())
    assert torch.equal(network(torch.ones(2, 3), torch.tensor([0.0, 1.0]))[:, 0], torch.tensor([0.0, 199.0]))


def test_trained_network_runs():
    figures = TrainedMean(samples=4, size=20, times=5, steps=20).run(0)
    assert set(figures) == {"ratio fixed", "departure fixed", "ratio fresh", "departure fresh"}
