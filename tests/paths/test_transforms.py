"""Change of schedule, EDM's preconditioning and the exact bridge step, against the oracle and against Bayes."""

import itertools

import pytest
import torch

from pushforward.contracts import Coefficients
from pushforward.measures import AffineOracle, Gaussian, ring
from pushforward.paths import (
    VE,
    VP,
    CondOT,
    LinearVP,
    Polynomial,
    Trig,
    bridge_step,
    change_schedule,
    edm_preconditioning,
)

DOUBLE = torch.float64
SCHEDULES = [CondOT(), Trig(), LinearVP(), Polynomial(2), VP(), VE(0.1, 5.0)]
SOURCE = Gaussian(torch.zeros(2, dtype=DOUBLE))


@pytest.mark.parametrize(("old", "new"), list(itertools.permutations(SCHEDULES, 2)), ids=lambda s: type(s).__name__)
def test_change_schedule_gives_the_other_oracle(old, new):
    """At times whose signal-to-noise ratio both schedules reach."""
    r = torch.linspace(0.5, 0.95, 12, dtype=DOUBLE)
    x = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    changed = change_schedule(AffineOracle(SOURCE, ring(), old).velocity, old, new)
    torch.testing.assert_close(changed(x, r), AffineOracle(SOURCE, ring(), new).velocity(x, r), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(CondOT(), Trig()), (Trig(), CondOT())], ids=lambda s: type(s).__name__)
def test_change_schedule_is_finite_at_both_ends(old, new):
    r = torch.tensor([0.0, 1.0], dtype=DOUBLE)
    x = torch.randn(2, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    changed = change_schedule(AffineOracle(SOURCE, ring(), old).velocity, old, new)
    torch.testing.assert_close(changed(x, r), AffineOracle(SOURCE, ring(), new).velocity(x, r), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_edm_preconditioning_normalises_input_and_target(schedule):
    n, std, g = 200_000, 0.5, torch.Generator().manual_seed(0)
    x1, x0 = std * torch.randn(n, generator=g, dtype=DOUBLE), torch.randn(n, generator=g, dtype=DOUBLE)
    for time in (0.1, 0.5, 0.9):
        c = schedule(torch.full((1,), time, dtype=DOUBLE))
        p = edm_preconditioning(c, std)
        x = c.alpha * x1 + c.sigma * x0
        assert float((p.into * x).var()) == pytest.approx(1, rel=0.02)
        assert float(((x1 - p.skip * x) / p.out).var()) == pytest.approx(1, rel=0.02)


def test_edm_preconditioning_is_the_papers_for_unit_alpha():
    sigma, std = torch.tensor([0.02, 1.0, 80.0], dtype=DOUBLE), 0.5
    p = edm_preconditioning(Coefficients(torch.ones_like(sigma), sigma, sigma, sigma), std)
    total = sigma**2 + std**2
    for got, wanted in zip(p, (std**2 / total, sigma * std / total.sqrt(), 1 / total.sqrt()), strict=True):
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_bridge_step_is_the_gaussian_posterior(schedule):
    """Condition the joint Gaussian of (x_now, x_later) on x_now, with x_now = (alpha / alpha') x_later + independent
    noise.
    """
    now, later = (schedule(torch.tensor([t], dtype=DOUBLE)) for t in (0.3, 0.6))
    ratio = now.alpha / later.alpha
    gain = ratio * later.sigma**2 / now.sigma**2
    step = bridge_step(now, later)
    torch.testing.assert_close(step.x_weight, gain)
    torch.testing.assert_close(step.data_weight, later.alpha - gain * now.alpha)
    torch.testing.assert_close(step.variance, later.sigma**2 - gain * ratio * later.sigma**2)


def test_bridge_steps_end_on_the_data_from_the_source():
    schedule, g = Trig(), torch.Generator().manual_seed(0)
    x1 = torch.randn(100, 2, generator=g, dtype=DOUBLE)
    x = torch.randn(100, 2, generator=g, dtype=DOUBLE)
    times = torch.linspace(0, 1, 6, dtype=DOUBLE)
    for now, later in itertools.pairwise(times):
        step = bridge_step(schedule(now), schedule(later))
        x = (
            step.x_weight * x
            + step.data_weight * x1
            + step.variance.sqrt() * torch.randn(100, 2, generator=g, dtype=DOUBLE)
        )
    torch.testing.assert_close(x, x1)
