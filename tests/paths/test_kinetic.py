"""Kinetic-optimal and tabulated schedules against closed forms."""

import math

import pytest
import torch

import pushforward as pf
from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.measures import Empirical
from pushforward.networks import MLP
from pushforward.paths import (
    Affine,
    CondOT,
    KineticOptimal,
    LinearVP,
    Reparametrised,
    Tabulated,
    Trig,
    kinetic_energy,
    kinetic_optimal,
    mmse,
)
from pushforward.training import Trainer

DOUBLE = torch.float64


def gaussian_error(*variances):
    s = torch.tensor(variances, dtype=DOUBLE)
    return lambda rho: (s / (1 + rho[:, None] ** 2 * s)).mean(1)


@pytest.mark.parametrize(
    ("variances", "optimal", "straight", "trigonometric"),
    [((1.8, 0.2), 0.1056, 0.2975, 0.1302), ((1.99, 0.01), 0.2447, 0.4068, 0.3018)],
)
def test_two_variances_reach_the_least_energy_of_any_flow(variances, optimal, straight, trigonometric):
    """With two eigenvalues the family contains the Bures geodesic; the other figures were computed independently."""
    error = gaussian_error(*variances)
    schedule, energy = kinetic_optimal(error)
    bures = sum((math.sqrt(v) - 1) ** 2 for v in variances) / 4
    assert energy == pytest.approx(bures, rel=1e-3) and energy == pytest.approx(optimal, abs=1e-4)
    assert kinetic_energy(schedule, error) == pytest.approx(energy, rel=1e-3)
    assert kinetic_energy(CondOT(), error) == pytest.approx(straight, abs=1e-4)
    assert kinetic_energy(Trig(), error) == pytest.approx(trigonometric, abs=1e-4)


def test_data_of_any_size():
    """Variances 3.6 and 0.4: the radius changes along the chord, and the energy is still that of the Bures geodesic."""
    error = gaussian_error(3.6, 0.4)
    schedule, energy = kinetic_optimal(error, 2.0)
    assert energy == pytest.approx(((math.sqrt(3.6) - 1) ** 2 + (math.sqrt(0.4) - 1) ** 2) / 4, rel=1e-3)
    assert kinetic_energy(schedule, error, 2.0) == pytest.approx(energy, rel=1e-3)


def test_points_far_apart_give_straight_lines():
    schedule, energy = kinetic_optimal(torch.zeros_like)
    t = torch.linspace(0, 1, 101, dtype=DOUBLE)
    torch.testing.assert_close(torch.stack(schedule(t)), torch.stack(CondOT()(t)), rtol=1e-4, atol=1e-4)
    assert energy == pytest.approx(1.0, rel=1e-6) and kinetic_energy(CondOT(), torch.zeros_like) == pytest.approx(1.0)


def test_error_of_two_points():
    """`mmse = 1 - E tanh(rho y)^2` for the points +-1, and the posterior's limits."""
    snr = torch.tensor([0.01, 0.5, 1.0, 2.0, 50.0], dtype=DOUBLE)
    z = torch.linspace(-9, 9, 4001, dtype=DOUBLE)
    weight = torch.exp(-z.square() / 2)
    exact = 1 - torch.tanh(snr[:, None] * (snr[:, None] + z)).square() @ (weight / weight.sum())
    x = torch.tensor([[-1.0], [1.0]], dtype=DOUBLE)
    found = mmse(x, snr, draws=20_000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, exact, rtol=0.02, atol=0.01)
    weighted = mmse(torch.cat([x, x[:1]]), snr, weight=torch.tensor([0.25, 0.5, 0.25]), draws=20_000,
                    generator=torch.Generator().manual_seed(1))  # fmt: skip
    torch.testing.assert_close(weighted, exact, rtol=0.02, atol=0.01)


def tabulated(schedule, n=256):
    return Tabulated(*(tuple(column.tolist()) for column in schedule(Tabulated.nodes(n))))


def test_a_table_is_the_schedule_it_was_made_of():
    t = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    table = tabulated(Trig())
    torch.testing.assert_close(torch.stack(table(t)), torch.stack(Trig()(t)), rtol=1e-6, atol=1e-6)
    rho = torch.tensor([0.0, 0.3, 1.0, 4.0, math.inf], dtype=DOUBLE)
    torch.testing.assert_close(table.snr_inverse(rho), Trig().snr_inverse(rho), rtol=1e-6, atol=1e-6)
    ends = table(torch.tensor([0.0, 1.0]))
    assert ends.alpha[0] == 0 and ends.sigma[1] == 0 and ends.alpha.dtype == torch.float32
    with pytest.raises(InputError, match="four tables"):
        Tabulated((0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (1.0,))


def test_slopes_of_a_table_are_those_of_its_values():
    """Also where the table is coarse and the slopes are not those of the function it stands for."""
    table = tabulated(Trig(), 4)
    t, h = torch.linspace(0.013, 0.987, 50, dtype=DOUBLE), 1e-6
    ahead, behind, c = table(t + h), table(t - h), table(t)
    torch.testing.assert_close((ahead.alpha - behind.alpha) / (2 * h), c.d_alpha, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close((ahead.sigma - behind.sigma) / (2 * h), c.d_sigma, rtol=1e-6, atol=1e-6)


def test_estimated_from_the_data_kept_and_resumed(tmp_path):
    """Half of the way from straight lines to the optimum at the least; the same table after loading."""
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.8, 0.2]).sqrt()
    options = {"path": Affine(KineticOptimal(draws=512)), "network": MLP(width=8, depth=1), "normalise": "none"}
    trainer = Trainer(steps=4, batch_size=16)
    transport = pf.fit("gaussian", Empirical(x), trainer=trainer, out=tmp_path / "run", **options)
    schedule = transport.field.path.schedule
    assert kinetic_energy(schedule, gaussian_error(1.8, 0.2)) < 0.15  # optimum 0.106, straight lines 0.298
    again = pf.load(tmp_path / "run")
    assert again.field.path.schedule == schedule and build(describe(schedule)) == schedule
    assert torch.equal(again.push(x[:5], steps=3), transport.push(x[:5], steps=3))
    for name in ("transport.json", "weights.safetensors"):
        (tmp_path / "run" / name).unlink()
    resumed = pf.fit("gaussian", Empirical(x), trainer=trainer, out=tmp_path / "run", resume=True, **options)
    assert resumed.field.path.schedule == schedule


def test_refuses_to_be_used_before_it_has_seen_data():
    t = torch.tensor([0.5])
    with pytest.raises(InputError, match="once it has seen the data"):
        KineticOptimal()(t)
    with pytest.raises(InputError, match="at least 2"):
        KineticOptimal(levels=1)
    with pytest.raises(InputError, match="positive width"):
        Reparametrised(LinearVP(), width=0)
