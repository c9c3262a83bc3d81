"""Objectives: what a network is trained to match, at which times, and how much each counts."""

from pushforward.objectives.condition_law import ConditionLaw, TimeNoise
from pushforward.objectives.contrastive import Contrastive
from pushforward.objectives.diffusion_bound import DiffusionBound
from pushforward.objectives.draws import Draws
from pushforward.objectives.flow_matching import FlowMatching, Regression
from pushforward.objectives.local_contrastive import LocalContrastive
from pushforward.objectives.mixture_likelihood import TransitionLikelihood
from pushforward.objectives.negatives import negatives
from pushforward.objectives.nested import NestedFlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.reconstruction import ReconstructionLikelihood
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
from pushforward.objectives.velocity_bank import VelocityBank
from pushforward.objectives.vertex_regression import VertexRegression
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
    "ConditionLaw",
    "Contrastive",
    "CosMap",
    "DataWeighting",
    "DensityAsWeight",
    "DiffusionBound",
    "Discrete",
    "Draws",
    "EDMWeight",
    "FlowMatching",
    "ImportanceCorrected",
    "Interval",
    "Likelihood",
    "LocalContrastive",
    "LogitNormal",
    "MinSNR",
    "Mode",
    "NestedFlowMatching",
    "Objective",
    "ReconstructionLikelihood",
    "Regression",
    "Shift",
    "Sigmoid",
    "Slowed",
    "TimeLaw",
    "TimeNoise",
    "TransitionLikelihood",
    "Uniform",
    "Unweighted",
    "VelocityBank",
    "VertexRegression",
    "Weighting",
    "effective_data_weight",
    "error_factor",
    "negatives",
]
