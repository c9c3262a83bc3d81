"""The oracle of ends that belong together: regressions over its own pairs, and the flow of its density."""

import pytest
import torch

from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian, PairedOracle
from pushforward.paths import VP, Affine, CondOT, Trig

PROBABILITY = torch.tensor([0.2, 0.5, 0.3]).double()
M0, M1 = (
    torch.tensor(rows).double()
    for rows in ([[-2.0, 0.0], [0.0, 1.0], [2.0, -1.0]], [[0.0, 2.0], [1.5, 0.0], [-1.0, -1.0]])
)
V0, V1 = (
    torch.tensor(rows).double() for rows in ([[0.3, 0.0], [0.5, 0.2], [0.2, 0.9]], [[0.5, 0.2], [1.0, 0.3], [0.1, 0.4]])
)
SCHEDULES = [CondOT(), Trig(), VP()]


def oracle(schedule):
    return PairedOracle(PROBABILITY, M0, V0, M1, V1, schedule)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_it_is_what_pairs_of_a_class_regress_to(schedule):
    """`E[(y - E[y | x]) f(x)] = 0` for every end and the velocity y, and tests f of region and class."""
    n, generator = 200_000, torch.Generator().manual_seed(0)
    label = torch.multinomial(PROBABILITY, n, replacement=True, generator=generator)
    noise = torch.randn(2, n, 2, generator=generator, dtype=torch.float64)
    pairs = Pairs(M0[label] + V0[label].sqrt() * noise[0], M1[label] + V1[label].sqrt() * noise[1])
    t = torch.full((n,), 0.6).double()
    point, exact = Affine(schedule).point(pairs, Times(t, t, t)), oracle(schedule)
    tests = torch.stack([torch.ones(n).double(), point.x[:, 0], point.x[:, 1].sin(), (point.x[:, 0] > 0.3).double()])
    for kind in ("velocity", "data", "noise"):
        gap = Affine(schedule).target(point, kind) - getattr(exact, kind)(point.x, t)
        assert (tests @ gap / n).abs().max() < 0.01, kind
    hits = torch.nn.functional.one_hot(label).double() - exact.posterior(point.x, t)
    assert (tests @ hits / n).abs().max() < 0.01


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_its_score_is_the_gradient_and_its_velocity_the_flow_of_its_density(schedule):
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    t = torch.linspace(0.1, 0.9, 20).double().requires_grad_()
    score, rate = torch.autograd.grad(oracle(schedule).log_prob(x, t).sum(), (x, t))
    torch.testing.assert_close(oracle(schedule).score(x, t), score)
    v = oracle(schedule).velocity(x, t)
    div = sum(torch.autograd.grad(v[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2))
    torch.testing.assert_close(rate + (v * score).sum(1) + div, torch.zeros(20).double(), rtol=0, atol=1e-8)


def test_one_class_is_the_oracle_of_two_gaussians():
    single = PairedOracle(torch.ones(1), M0[1:2], V0[1:2], M1[1:2], V1[1:2], CondOT())
    plain = AffineOracle(Gaussian(M0[1], V0[1].diag()), Gaussian(M1[1], V1[1].diag()), CondOT())
    x, t = torch.randn(9, 2).double(), torch.rand(9).double()
    for kind in ("velocity", "data", "noise", "score", "log_prob"):
        torch.testing.assert_close(getattr(single, kind)(x, t), getattr(plain, kind)(x, t), msg=kind)


def test_tables_must_fit():
    with pytest.raises(InputError, match="four tables"):
        PairedOracle(torch.ones(2) / 2, M0, V0, M1, V1, CondOT())
    with pytest.raises(InputError, match="wanted"):
        oracle(CondOT()).velocity(torch.zeros(3, 1), torch.zeros(3))
