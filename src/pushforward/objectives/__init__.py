"""Objectives: what a network is trained to match, at which times, and how much each counts."""

from pushforward.objectives.draws import Draws
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.time import (
    EDM,
    Beta,
    CosMap,
    Discrete,
    Interval,
    LogitNormal,
    Mode,
    Shift,
    Slowed,
    TimeLaw,
    Uniform,
)
from pushforward.objectives.weighting import (
    P2,
    DataWeighting,
    DensityAsWeight,
    EDMWeight,
    ImportanceCorrected,
    Likelihood,
    MinSNR,
    Sigmoid,
    Unweighted,
    Weighting,
    effective_data_weight,
    error_factor,
)

__all__ = [
    "EDM",
    "P2",
    "Beta",
    "CosMap",
    "DataWeighting",
    "DensityAsWeight",
    "Discrete",
    "Draws",
    "EDMWeight",
    "FlowMatching",
    "ImportanceCorrected",
    "Interval",
    "Likelihood",
    "LogitNormal",
    "MinSNR",
    "Mode",
    "Objective",
    "Shift",
    "Sigmoid",
    "Slowed",
    "TimeLaw",
    "Uniform",
    "Unweighted",
    "Weighting",
    "effective_data_weight",
    "error_factor",
]
