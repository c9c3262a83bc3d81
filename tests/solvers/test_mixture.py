"""Mixtures of velocities: their algebra, and solvers that use the whole of them."""

import pytest
import torch
from torch import nn

from pushforward.conditions import Column
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.maps import FlowTransport
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, MixtureBatch, VelocityOracle, ring
from pushforward.metrics import energy_distance
from pushforward.networks import Field
from pushforward.paths import Affine, CondOT, Trig
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


A, B, COVARIANCE = [2.0, 0.0], [0.0, 2.0], [[0.25, 0.0], [0.0, 0.25]]
LABEL = {"label": "a"}


class Classes(nn.Module):
    """The exact law of the velocity towards one Gaussian of two, told which; towards both where it is not told."""

    def __init__(self):
        super().__init__()
        pairs = (A, A), (B, B), (A, B)
        self.known = [VelocityOracle(NOISE, GaussianMixture(list(m), [COVARIANCE] * 2), CondOT()) for m in pairs]

    def mixture(self, x, t, condition=None):
        laws, rows = [law.mixture(x, t) for law in self.known], (condition["label"], torch.arange(len(x)))
        parts = ([getattr(law, name) for law in laws] for name in ("log_weight", "means", "variance"))
        return MixtureBatch(*(torch.stack(part)[rows] for part in parts))

    def sample(self, x, t, condition=None, *, generator=None):
        return self.mixture(x, t, condition).sample(generator=generator)

    def mean(self, x, t, condition=None):
        return self.mixture(x, t, condition).mean()

    forward = mean


def classes(solver):
    field = Field(Classes(), Affine(), (2,), {"label": Column(("a", "b"))}, gaussian_source=True)
    return FlowTransport(field, solver, NOISE)


@pytest.mark.parametrize("solver", [MixtureSDE(1), MixtureSDE(3), MixtureODE(3, 64), NestedSampler(2)], ids=str)
def test_no_guidance_is_the_law_of_the_class(solver):
    flow, x = classes(solver), NOISE.sample(4000, generator=gen())
    options = {} if isinstance(solver, NestedSampler) else {"guidance": 0.0}
    made = flow.push(x, {"label": "b"}, generator=gen(1), **options)
    truth = Gaussian(B, COVARIANCE).sample(4000, generator=gen(2))
    assert energy_distance(made, truth, estimator="unbiased") < 0.004
    assert torch.equal(made, flow.push(x, {"label": "b"}, generator=gen(1)))


def test_guidance_of_a_transport_is_that_of_its_mixture_solver():
    """In one step from x = 0 the target point is drawn from the guided Gaussian itself: moved by `w s` an entry at
    right angles to the mean, away from the other class, and narrowed.
    """
    flow, x, w, s = classes(MixtureSDE(1)), torch.zeros(40_000, 2), 0.6, 0.5
    made = flow.push(x, LABEL, guidance=w, generator=gen())
    assert torch.allclose(made.mean(0), torch.tensor([2.0, -w * s * 2**0.5]), atol=0.01)
    assert torch.allclose(made.var(0), torch.full((2,), s**2 * (1 - w**2)), rtol=0.03)
    own = flow.with_solver(MixtureSDE(1, guidance=w))
    assert torch.equal(own.push(x, LABEL, generator=gen()), made)
    assert torch.equal(own.push(x, {}, generator=gen()), flow.push(x, {}, generator=gen()))  # nothing to exaggerate
    assert flow.solve(x, LABEL, guidance=w).evaluations == 2


def test_classifier_free_guidance_is_of_the_mean_alone():
    flow, x = classes(MixtureODE(2)), NOISE.sample(50, generator=gen())
    made, t = flow.push(x, LABEL, steps=1, method="euler", guidance=2.0), torch.zeros(50)
    conditional, unconditional = (flow.field.velocity(x, t, {"label": torch.full((50,), k)}) for k in (0, -1))
    assert torch.allclose(made, x + 2 * conditional - unconditional, atol=1e-5)
    with pytest.raises(InputError, match=r"\[0, 1\), got 2.*euler"):
        flow.push(x, LABEL, guidance=2.0)
    with pytest.raises(InputError, match=r"no law to draw from.*euler"):
        classes(NestedSampler(2)).push(x, LABEL, guidance=2.0)
