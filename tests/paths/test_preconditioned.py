"""EDM: preconditioning as a velocity, its loss, its grid and its sampler."""

import itertools

import pytest
import torch

import pushforward as pf
from pushforward.contracts import Pairs, Times
from pushforward.errors import InputError
from pushforward.measures import AffineOracle, Gaussian
from pushforward.networks import MLP, Field
from pushforward.objectives import EDMWeight
from pushforward.paths import VE, Affine, CondOT, LinearVE, Trig, edm_preconditioning
from pushforward.paths.preconditioned import Preconditioned
from pushforward.solvers import FixedStep, NoiseLevels
from pushforward.training import Trainer

DOUBLE = torch.float64


class Inner(torch.nn.Module):
    def forward(self, x, t, condition=None):
        return x.sin() + t[:, None]


@pytest.mark.parametrize("schedule", [CondOT(), Trig(), LinearVE(5.0), VE(0.1, 5.0)], ids=lambda s: type(s).__name__)
def test_data_of_the_velocity_is_the_denoiser_of_edm(schedule):
    x, t = torch.randn(9, 2, dtype=DOUBLE), torch.linspace(0.1, 0.9, 9, dtype=DOUBLE)
    v = Preconditioned(Inner(), schedule, 0.7)(x, t)
    c = schedule(t)
    skip, out, into = (part[:, None] for part in edm_preconditioning(c, 0.7))
    denoiser = skip * x + out * Inner()(into * x, (c.sigma / c.alpha).log() / 4)
    torch.testing.assert_close(Affine(schedule).convert(v, x, t, "velocity", "data"), denoiser)


def test_without_the_network_it_is_the_velocity_of_gaussian_data():
    zero = Preconditioned(MLP(width=4).build((2,), {}), CondOT(), 0.5)
    x, t = torch.randn(6, 2), torch.linspace(0, 1, 6)
    target = Gaussian([0.0, 0.0], (0.25 * torch.eye(2)).tolist())
    torch.testing.assert_close(zero(x, t), AffineOracle(Gaussian.standard(2), target, CondOT()).velocity(x, t))


def test_edm_weight_makes_the_loss_that_of_the_inner_network():
    """The error of the velocity, so weighted, is that of F: of unit size at every level."""
    path, t = Affine(LinearVE(80.0), data_std=0.5), torch.tensor([0.0, 0.9, 0.999, 0.99999], dtype=DOUBLE)
    c = path.schedule(t)
    scale = c.delta * 0.5 / (c.sigma.square() + 0.25).sqrt()
    weight = EDMWeight(0.5)(Times(t, t, t), path, "velocity")
    torch.testing.assert_close(weight * scale.square(), torch.ones(4, dtype=DOUBLE))


def test_finite_at_both_ends():
    path = Affine(LinearVE(), data_std=1.0)
    field = Field(MLP(width=8), path, (2,), {})
    assert field.velocity(torch.randn(2, 2), torch.tensor([0.0, 1.0])).isfinite().all()


def test_only_a_velocity_is_preconditioned():
    with pytest.raises(InputError, match="velocity"):
        Field(MLP(width=8), Affine(LinearVE(), data_std=1.0), (2,), {}, "data")
    with pytest.raises(InputError, match="data_std"):
        Affine(data_std=0.0)


def test_nodes_are_the_noise_levels_of_edm():
    nodes = NoiseLevels()(18).nodes
    i = torch.arange(18, dtype=DOUBLE)
    levels = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(80 * (1 - nodes), torch.cat([levels, levels.new_zeros(1)]), atol=1e-9, rtol=1e-9)
    later = NoiseLevels(schedule=CondOT())(5, 0.2, 0.9).nodes
    assert len(later) == 6 and float(later[0]) == 0.2 and float(later[-1]) == 0.9
    assert len(NoiseLevels()(1)) == 1
    with pytest.raises(InputError, match="sigma_min"):
        NoiseLevels(sigma_min=2.0, sigma_max=1.0)


def test_heun_in_time_is_heun_in_the_noise_level():
    class Shrink:
        def velocity(self, x, t, condition=None):
            sigma = LinearVE()(t).sigma[:, None]
            return -80.0 * x * sigma / (sigma.square() + 1)

    x = wanted = 80 * torch.randn(5, 2, dtype=DOUBLE)
    levels = 80 * (1 - NoiseLevels()(18).nodes)
    for now, then in itertools.pairwise(levels):
        slope = wanted * now / (now**2 + 1)
        ahead = wanted + (then - now) * slope
        wanted = wanted + (then - now) * (slope + ahead * then / (then**2 + 1)) / 2
    torch.testing.assert_close(FixedStep("heun", 18, NoiseLevels()).solve(Shrink(), x).x, wanted)


def test_fit_with_heavy_tails_saves_and_loads(tmp_path):
    data = torch.randn(64, 3) + 5
    solver = FixedStep("heun", 6, NoiseLevels())
    path = Affine(LinearVE(), data_std=1.0)
    transport = pf.fit(
        "student-t:4", data, path=path, network=MLP(width=8), solver=solver,
        trainer=Trainer(steps=3, batch_size=16), out=tmp_path / "run", show_progress=False,
    )  # fmt: skip
    x = transport.sample(5, generator=torch.Generator().manual_seed(0))
    again = pf.load(tmp_path / "run").sample(5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, again)
    assert torch.equal(transport.source_frame.scale, torch.ones(()))  # noise stays in its own units
    with pytest.raises(InputError, match="score"):
        transport.field.score(x, torch.full((5,), 0.5))


def test_perturbed_states_follow_the_source():
    pairs = Pairs(torch.randn(4, 2), torch.randn(4, 2))
    t = torch.full((4,), 0.25)
    torch.testing.assert_close(Affine(LinearVE(8.0)).point(pairs, Times(t, t, t)).x, pairs.x1 + 6.0 * pairs.x0)
