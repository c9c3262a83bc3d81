"""Objectives: what a network is trained to match, at which times, and how much each counts."""

from pushforward.objectives.acceleration_matching import AccelerationMatching
from pushforward.objectives.adaptive import Adaptive
from pushforward.objectives.alpha_flow import AlphaFlow
from pushforward.objectives.condition_law import ConditionLaw, TimeNoise
from pushforward.objectives.contrastive import Contrastive
from pushforward.objectives.cross_flow import CrossFlow, divergence_from_noise
from pushforward.objectives.curriculum import Curriculum, Held, Rising, Sigmoidal
from pushforward.objectives.derivative import total_derivative
from pushforward.objectives.diffusion_bound import DiffusionBound
from pushforward.objectives.distance import Distance, PseudoHuber, SquaredError
from pushforward.objectives.draws import Draws
from pushforward.objectives.feature_alignment import FeatureAlignment
from pushforward.objectives.feature_approximation import FeatureApproximation
from pushforward.objectives.fenchel_young import FenchelYoungMatching
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.local_contrastive import LocalContrastive
from pushforward.objectives.map_regression import MapObjective
from pushforward.objectives.map_targets import DiscreteTarget, EulerianTarget, MapTarget, Way
from pushforward.objectives.mean_flow import MeanFlow
from pushforward.objectives.mixture_likelihood import TransitionLikelihood
from pushforward.objectives.modular_mean_flow import ModularMeanFlow
from pushforward.objectives.negatives import negatives
from pushforward.objectives.nested import NestedFlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.reconstruction import ReconstructionLikelihood
from pushforward.objectives.regression import Regression
from pushforward.objectives.segment_matching import SegmentMatching
from pushforward.objectives.symmetric_matching import SymmetricMatching
from pushforward.objectives.time import (
    EDM,
    Beta,
    CosMap,
    Discrete,
    Fixed,
    Interval,
    LogitNormal,
    Mode,
    Shift,
    Slowed,
    TimeLaw,
    Uniform,
)
from pushforward.objectives.time_pairs import TimePairs
from pushforward.objectives.transition_matching import TransitionMatching
from pushforward.objectives.variational import VariationalReconstruction
from pushforward.objectives.velocities import Conditional, Diagonal, Guided, Taught, VelocityRule
from pushforward.objectives.velocity_bank import VelocityBank
from pushforward.objectives.velocity_refinement import VelocityRefinement
from pushforward.objectives.vertex_regression import VertexRegression
from pushforward.objectives.weighting import (
    P2,
    DataWeighting,
    DensityAsWeight,
    Displacement,
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
    "AccelerationMatching",
    "Adaptive",
    "AlphaFlow",
    "Beta",
    "ConditionLaw",
    "Conditional",
    "Contrastive",
    "CosMap",
    "CrossFlow",
    "Curriculum",
    "DataWeighting",
    "DensityAsWeight",
    "Diagonal",
    "DiffusionBound",
    "Discrete",
    "DiscreteTarget",
    "Displacement",
    "Distance",
    "Draws",
    "EDMWeight",
    "EulerianTarget",
    "FeatureAlignment",
    "FeatureApproximation",
    "FenchelYoungMatching",
    "Fixed",
    "FlowMatching",
    "Guided",
    "Held",
    "ImportanceCorrected",
    "Interval",
    "Likelihood",
    "LocalContrastive",
    "LogitNormal",
    "MapObjective",
    "MapTarget",
    "MeanFlow",
    "MinSNR",
    "Mode",
    "ModularMeanFlow",
    "NestedFlowMatching",
    "Objective",
    "PseudoHuber",
    "ReconstructionLikelihood",
    "Regression",
    "Rising",
    "SegmentMatching",
    "Shift",
    "Sigmoid",
    "Sigmoidal",
    "Slowed",
    "SquaredError",
    "SymmetricMatching",
    "Taught",
    "TimeLaw",
    "TimeNoise",
    "TimePairs",
    "TransitionLikelihood",
    "TransitionMatching",
    "Uniform",
    "Unweighted",
    "VariationalReconstruction",
    "VelocityBank",
    "VelocityRefinement",
    "VelocityRule",
    "VertexRegression",
    "Way",
    "Weighting",
    "divergence_from_noise",
    "effective_data_weight",
    "error_factor",
    "negatives",
    "total_derivative",
]
