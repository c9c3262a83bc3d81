"""Mixtures of velocities: their algebra, and solvers that use the whole of them."""

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, MixtureBatch, VelocityOracle, ring
from pushforward.metrics import energy_distance
from pushforward.paths import CondOT, Trig
from pushforward.solvers import MixtureODE, MixtureSDE, NestedSampler
from pushforward.solvers.mixture import guided

NOISE = Gaussian.standard(2)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(rows=3, components=4, channels=2, rest=()):
    def draw(*shape):
        return torch.randn(*shape, generator=gen(len(shape)), dtype=torch.float64)

    return MixtureBatch(draw(rows, components, *rest), draw(rows, components, channels, *rest), draw(rows).exp())


def test_tilted_is_the_product_with_a_gaussian():
    """The density ratio to the tilted density may only differ by a constant in v."""
    mixture = batch()
    precision, natural = torch.tensor([0.7, 0.0, -0.1]).double(), torch.randn(3, 2, generator=gen()).double()
    tilted = mixture.tilted(precision, natural)
    v = torch.randn(20, 3, 2, generator=gen(1)).double()
    exponent = (natural * v).sum(2) - 0.5 * precision * v.square().sum(2)
    found = torch.stack([tilted.log_prob(row) - mixture.log_prob(row) for row in v]) - exponent
    assert torch.allclose(found, found[:1].expand_as(found), atol=1e-9)


def test_moments_samples_and_affine_images_agree_with_the_density():
    mixture = batch(rest=(2, 2))
    scale, shift = torch.tensor([2.0, -1.0, 0.5]).double(), torch.randn(3, 2, 2, 2, generator=gen()).double()
    moved, x = mixture.affine(scale, shift), mixture.sample(generator=gen(2))
    image = scale[:, None, None, None] * x + shift
    assert torch.allclose(moved.log_prob(image), mixture.log_prob(x) - 8 * scale.abs().log(), atol=1e-9)
    many = MixtureBatch(*(value.repeat_interleave(100_000, 0) for value in (mixture.log_weight[:1, ..., 0, 0],
        mixture.means[:1, ..., 0, 0], mixture.variance[:1])))  # fmt: skip
    drawn = many.sample(generator=gen(3))
    assert torch.allclose(drawn.mean(0), many.mean()[0], atol=0.02)
    assert abs(float(drawn.var(0).mean() / many.spread()[0]) - 1) < 0.02


@pytest.mark.parametrize("schedule", [CondOT(), Trig()], ids=lambda s: type(s).__name__)
def test_transitions_of_an_exact_mixture_are_exact_at_any_number_of_steps(schedule):
    law, target = VelocityOracle(NOISE, ring(), schedule), ring().sample(4000, generator=gen(1))
    for steps in (1, 2, 4):
        drawn = MixtureSDE(steps).solve(law, torch.randn(4000, 2, generator=gen(2)), generator=gen(steps)).x
        assert energy_distance(drawn, target, estimator="unbiased") < 0.004


@pytest.mark.parametrize("schedule", [CondOT(), Trig()], ids=lambda s: type(s).__name__)
def test_substeps_follow_the_flow_whatever_the_number_of_calls(schedule):
    law, x = VelocityOracle(NOISE, ring(), schedule), torch.randn(12, 2, generator=gen()).double()
    exact = AffineOracle(NOISE, ring(), schedule).flow_map(x, 0.0, 0.9)
    coarse, fine = (MixtureODE(2, substeps=n).solve(law, x, end=0.9) for n in (50, 200))
    assert fine.evaluations == 2
    errors = [float((found.x - exact).square().mean().sqrt()) for found in (coarse, fine)]
    assert errors[1] < 0.03 and errors[1] < 0.4 * errors[0]


def test_guidance_moves_the_fit_by_its_deviations_and_narrows_it():
    """For one Gaussian the guided mixture is the guided Gaussian itself."""
    one = MixtureBatch(torch.zeros(1, 1), torch.tensor([[[3.0, 0.0]]]), torch.tensor([4.0]))
    found = guided(one, torch.tensor([[1.0, -5.0]]), 0.5)
    assert torch.allclose(found.mean(), torch.tensor([[3.0, 0.5 * 2 * 2**0.5]]), atol=1e-5)
    assert torch.allclose(found.variance, torch.tensor([3.0]))


def test_impossible_requests_are_refused():
    law, x = VelocityOracle(NOISE, ring(), CondOT()), torch.zeros(3, 2)
    for bad in ({"guidance": 1.0}, {"substeps": 0}, {"steps": 0}):
        with pytest.raises(InputError):
            MixtureODE(**bad)
    with pytest.raises(InputError, match="forwards"):
        MixtureSDE().solve(law, x, start=1.0, end=0.0)
    assert build(describe(MixtureODE(2, 3, guidance=0.1))) == MixtureODE(2, 3, guidance=0.1)
    assert NestedSampler.stochastic and MixtureSDE.stochastic and not MixtureODE.stochastic
