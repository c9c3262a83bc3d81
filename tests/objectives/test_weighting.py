"""Weightings: the effective data weight is what the name says, whatever the network predicts."""

from __future__ import annotations

import pytest
import torch

from pushforward.configuration import build, describe
from pushforward.errors import InputError
from pushforward.objectives import (
    P2,
    Beta,
    CosMap,
    DensityAsWeight,
    Displacement,
    EDMWeight,
    ImportanceCorrected,
    Likelihood,
    LogitNormal,
    MinSNR,
    Sigmoid,
    Uniform,
    Unweighted,
    effective_data_weight,
    error_factor,
)
from pushforward.paths import VE, VP, Affine, BrownianBridge, CondOT, LinearVP, Trig

KINDS = ("velocity", "data", "noise", "score")
SCHEDULES = [CondOT(), Trig(), VP(), VE(), LinearVP()]
WEIGHTINGS = [Unweighted(), MinSNR(), P2(), EDMWeight(), Likelihood(), Sigmoid(), Displacement(), DensityAsWeight()]
T = torch.linspace(0.05, 0.9, 18).double()


def named(weighting, schedule):
    """The weights as their papers write them, on the error in the data."""
    c = schedule(T)
    snr, noise = c.alpha**2 / c.sigma**2, c.sigma / c.alpha
    t = T.clone().requires_grad_()
    d = schedule(t)
    (slope,) = torch.autograd.grad((d.alpha**2 / d.sigma**2).sum(), t)
    return {
        MinSNR: torch.minimum(snr, torch.tensor(5.0)),
        P2: snr / (1 + snr),
        EDMWeight: (noise**2 + 0.25) / (noise * 0.5) ** 2,
        Likelihood: slope / 2,
        Displacement: 1 / c.sigma**2,
        Sigmoid: torch.sigmoid(2 - snr.log()) * slope / 2,
    }[type(weighting)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("weighting", WEIGHTINGS[1:-1], ids=repr)
def test_effective_weight_is_the_named_one_for_every_prediction(weighting, schedule, kind):
    got = effective_data_weight(weighting, Uniform(), Affine(schedule), kind, T)
    torch.testing.assert_close(got, named(weighting, schedule), rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_error_factor_is_the_slope_of_the_conversion(schedule, kind):
    x, value, bump = torch.randn(18, 2).double(), torch.randn(18, 2).double(), torch.randn(18, 2).double()
    path = Affine(schedule)
    convert = lambda v: path.convert(v, x, T, "data", kind, gaussian_source=True)  # noqa: E731
    got = (convert(value + bump) - convert(value)).norm(dim=1) / bump.norm(dim=1)
    torch.testing.assert_close(got, error_factor(schedule(T), kind), rtol=1e-6, atol=0)


def test_importance_correction_undoes_the_time_law():
    for inner in WEIGHTINGS:
        for law in (LogitNormal(), CosMap(), Beta(2.0, 3.0)):
            corrected = effective_data_weight(ImportanceCorrected(inner), law, Affine(), "velocity", T)
            torch.testing.assert_close(corrected, effective_data_weight(inner, Uniform(), Affine(), "velocity", T))


def test_density_as_weight_is_drawing_from_the_law():
    law = LogitNormal(0.5, 0.8)
    weighted = effective_data_weight(DensityAsWeight(law), Uniform(), Affine(), "noise", T)
    torch.testing.assert_close(weighted, effective_data_weight(Unweighted(), law, Affine(), "noise", T))


@pytest.mark.parametrize("weighting", WEIGHTINGS, ids=repr)
def test_describe_and_build_round_trip(weighting):
    corrected = ImportanceCorrected(weighting)
    assert build(describe(corrected)) == corrected


def test_noise_levels_need_an_affine_path():
    times = Uniform().sample(4)
    with pytest.raises(InputError, match="affine"):
        MinSNR()(times, BrownianBridge(), "velocity")
    assert Unweighted()(times, BrownianBridge(), "velocity") is None
