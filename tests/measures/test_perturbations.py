"""Student t noise is the perturbation of PFGM++, by name too; the exact field of a finite set of points."""

import math

import pytest
import torch
from scipy import special

from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, GaussianMixture, PointOracle, StudentT, as_measure, takes_shape
from pushforward.paths import CondOT, LinearVE
from pushforward.recipes.pfgmpp import PerturbationRadius

DOUBLE = torch.float64


def test_radius_and_density_are_those_of_the_perturbation():
    figures = PerturbationRadius(rows=20_000).run(0)
    assert figures["distribution error"] < 2.0
    assert figures["density error"] < 1e-6
    assert figures["diffusion error"] < 1e-5


@pytest.mark.parametrize(("degrees", "median"), [(1.0, 1.732), (8.0, 1.230), (128.0, 1.180), (1e6, 1.1774)])
def test_medians_of_the_radius_in_the_plane(degrees, median):
    x = StudentT([0.0, 0.0], degrees=degrees).sample(100_000, generator=torch.Generator().manual_seed(0))
    assert abs(float(x.norm(dim=1).median()) - median) < 0.015
    b = special.betaincinv(1.0, degrees / 2, 0.5)
    assert abs(math.sqrt(degrees * b / (1 - b)) - median) < 1e-3


def test_named_with_and_without_a_shape():
    image = as_measure(torch.zeros(3, 1, 8, 8))
    noise = as_measure("student-t:8", like=image)
    assert isinstance(noise, StudentT) and noise.degrees == 8 and noise.event_shape == (1, 8, 8) and noise.is_noise
    assert as_measure("student-t:2.5,2").event_shape == (2,)
    assert [takes_shape(text) for text in ("student-t", "student-t:8", "student-t:8,2")] == [True, True, False]
    assert not StudentT([1.0]).is_noise and not StudentT([0.0], [[4.0]]).is_noise


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student-t:x", "degrees"),
        ("student-t:8", "student-t:8,2"),
        ("student-t:8,a", "no shape"),
        ("student-t:-1,2", "degrees"),
    ],
)
def test_bad_names_say_what_is_wanted(text, message):
    with pytest.raises(InputError, match=message):
        as_measure(text)


@pytest.mark.parametrize("schedule", [CondOT(), LinearVE(5.0)], ids=lambda s: type(s).__name__)
def test_points_are_a_mixture_of_narrow_gaussians(schedule):
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(7, 2, generator=generator, dtype=DOUBLE)
    source = Gaussian(torch.zeros(2, dtype=DOUBLE))
    mixture = GaussianMixture(points, (1e-9 * torch.eye(2, dtype=DOUBLE)).expand(7, 2, 2))
    found, exact = PointOracle(source, points, schedule), AffineOracle(source, mixture, schedule)
    x, t = torch.randn(20, 2, generator=generator, dtype=DOUBLE), torch.linspace(0.1, 0.9, 20, dtype=DOUBLE)
    for kind in ("velocity", "data", "log_prob", "score"):
        torch.testing.assert_close(getattr(found, kind)(x, t), getattr(exact, kind)(x, t), rtol=1e-5, atol=1e-5)


def test_posterior_of_heavy_tails_is_the_kernel_of_pfgm():
    points, x = torch.randn(5, 3, dtype=DOUBLE), torch.randn(4, 3, dtype=DOUBLE)
    t, degrees, n = torch.full((4,), 0.4, dtype=DOUBLE), 8.0, 3
    path = LinearVE(2.0)
    r2 = path(t).sigma[0] ** 2 * degrees
    kernel = (torch.cdist(x, points).square() + r2) ** (-(n + degrees) / 2)
    wanted = (kernel / kernel.sum(1, keepdim=True)) @ points
    oracle = PointOracle(StudentT(torch.zeros(3, dtype=DOUBLE), degrees=degrees), points, path)
    torch.testing.assert_close(oracle.data(x, t), wanted)
    torch.testing.assert_close(oracle.velocity(x, t), -2.0 * (x - wanted) / path(t).sigma[:, None])
