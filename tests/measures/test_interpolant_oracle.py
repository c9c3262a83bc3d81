"""The oracle of interpolants: the law of the path, the gradient of its density, and the velocity that carries it."""

import pytest
import torch

from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import Gaussian, InterpolantOracle
from pushforward.paths import EncodingDecoding, Interpolant, SineGamma, TrigBlend

SOURCE = Gaussian(torch.tensor([-1.0, 0.5]).double(), torch.tensor([[0.5, -0.2], [-0.2, 0.8]]).double())
TARGET = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[1.0, 0.3], [0.3, 0.5]]).double())
CROSS = torch.tensor([[0.3, 0.1], [-0.1, 0.2]]).double()
PATHS = [Interpolant(), Interpolant(TrigBlend(), SineGamma(0.5)), Interpolant(EncodingDecoding(), SineGamma())]
N = 200_000


@pytest.mark.parametrize("path", PATHS, ids=repr)
@pytest.mark.parametrize("time", [0.2, 0.7])
def test_it_has_the_moments_and_regressions_of_the_path(path, time):
    """Linear regression of every target on the state, over pairs of the joint law, gives the closed form."""
    generator = torch.Generator().manual_seed(0)
    joint = torch.cat([torch.cat([SOURCE.covariance, CROSS], 1), torch.cat([CROSS.mT, TARGET.covariance], 1)])
    both = Gaussian(torch.cat([SOURCE.mean, TARGET.mean]), joint).sample(N, generator=generator)
    t = torch.full((N,), time).double()
    point = path.point(Pairs(both[:, :2], both[:, 2:]), Times(t, t, t), generator=generator)
    oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients, CROSS)
    mean, covariance = oracle.moments(t[:1])
    torch.testing.assert_close(point.x.mean(0), mean[0], rtol=0, atol=0.01)
    torch.testing.assert_close(point.x.T.cov(), covariance[0], rtol=0, atol=0.015)
    features = torch.cat([point.x, torch.ones(N, 1).double()], 1)
    for kind in ("velocity", "drift", "denoiser", "score", "data", "noise"):
        fitted = features @ torch.linalg.lstsq(features, path.target(point, kind)).solution
        exact = getattr(oracle, kind)(point.x, t)
        assert float((fitted - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 0.03, kind


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_its_score_is_the_gradient_and_its_velocity_the_flow_of_its_density(path):
    """Transport equation `d log rho / dt + v . grad log rho + div v = 0`, by automatic differentiation."""
    oracle = InterpolantOracle(SOURCE, TARGET, path.coefficients, CROSS)
    x = torch.randn(20, 2).double().requires_grad_()
    t = torch.linspace(0.1, 0.9, 20).double().requires_grad_()
    score, rate = torch.autograd.grad(oracle.log_prob(x, t).sum(), (x, t))
    torch.testing.assert_close(oracle.score(x, t), score)
    v = oracle.velocity(x, t)
    div = sum(torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    torch.testing.assert_close(rate + (v * score).sum(1) + div, torch.zeros(20).double(), rtol=0, atol=1e-9)


def test_it_refuses_points_of_another_size():
    with pytest.raises(InputError, match="one size"):
        InterpolantOracle(SOURCE, Gaussian([0.0]), Interpolant().coefficients)
    with pytest.raises(InputError, match="wanted"):
        InterpolantOracle(SOURCE, TARGET, Interpolant().coefficients).score(torch.zeros(3, 1), torch.zeros(3))
