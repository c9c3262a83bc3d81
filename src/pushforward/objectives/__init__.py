"""Objectives: what a network is trained to match, at which times, and how much each counts."""

from pushforward.objectives.acceleration_matching import AccelerationMatching
from pushforward.objectives.condition_law import ConditionLaw, TimeNoise
from pushforward.objectives.contrastive import Contrastive
from pushforward.objectives.cross_flow import CrossFlow, divergence_from_noise
from pushforward.objectives.diffusion_bound import DiffusionBound
from pushforward.objectives.dispersion import (
    CovarianceDispersion,
    Dispersion,
    HingeDispersion,
    InfoNCECosine,
    InfoNCEL2,
)
from pushforward.objectives.dispersive import Dispersive
from pushforward.objectives.distance import Distance, PseudoHuber, SquaredError
from pushforward.objectives.draws import Draws
from pushforward.objectives.feature_alignment import FeatureAlignment
from pushforward.objectives.feature_approximation import FeatureApproximation
from pushforward.objectives.fenchel_young import FenchelYoungMatching
from pushforward.objectives.flow_maps.adaptive import Adaptive
from pushforward.objectives.flow_maps.adjacent import AdjacentTimes, Neighbours, Tuned
from pushforward.objectives.flow_maps.alpha_flow import AlphaFlow
from pushforward.objectives.flow_maps.consistency import Consistency
from pushforward.objectives.flow_maps.curriculum import Curriculum, Held, Rising, Sigmoidal
from pushforward.objectives.flow_maps.derivative import DerivativeRule, total_derivative
from pushforward.objectives.flow_maps.dyadic import Dyadic
from pushforward.objectives.flow_maps.flow_map import FlowMapObjective
from pushforward.objectives.flow_maps.intrinsic import Intrinsic
from pushforward.objectives.flow_maps.jump_matching import JumpMatching
from pushforward.objectives.flow_maps.map_regression import MapObjective
from pushforward.objectives.flow_maps.map_targets import DiscreteTarget, EulerianTarget, MapTarget, Way
from pushforward.objectives.flow_maps.mean_flow import MeanFlow
from pushforward.objectives.flow_maps.modular_mean_flow import ModularMeanFlow
from pushforward.objectives.flow_maps.noise_divergence import NoiseDivergence
from pushforward.objectives.flow_maps.semigroup import SemigroupTarget
from pushforward.objectives.flow_maps.shortcut import Shortcut
from pushforward.objectives.flow_maps.time_pairs import TimePairs
from pushforward.objectives.flow_maps.velocities import Conditional, Diagonal, Guided, Taught, VelocityRule
from pushforward.objectives.flow_matching import FlowMatching
from pushforward.objectives.local_contrastive import LocalContrastive
from pushforward.objectives.marginal_transport import MarginalTransport
from pushforward.objectives.mixture_likelihood import TransitionLikelihood
from pushforward.objectives.negatives import negatives
from pushforward.objectives.nested import NestedFlowMatching
from pushforward.objectives.objective import Objective
from pushforward.objectives.policy_imitation import PolicyImitation
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
from pushforward.objectives.transition_matching import TransitionMatching
from pushforward.objectives.translation import Translation
from pushforward.objectives.u_shaped import UShaped
from pushforward.objectives.variational import VariationalReconstruction
from pushforward.objectives.velocity_bank import VelocityBank
from pushforward.objectives.velocity_refinement import VelocityRefinement
from pushforward.objectives.vertex_regression import VertexRegression
from pushforward.objectives.wavelet import Wavelet
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
    "AdjacentTimes",
    "AlphaFlow",
    "Beta",
    "ConditionLaw",
    "Conditional",
    "Consistency",
    "Contrastive",
    "CosMap",
    "CovarianceDispersion",
    "CrossFlow",
    "Curriculum",
    "DataWeighting",
    "DensityAsWeight",
    "DerivativeRule",
    "Diagonal",
    "DiffusionBound",
    "Discrete",
    "DiscreteTarget",
    "Dispersion",
    "Dispersive",
    "Displacement",
    "Distance",
    "Draws",
    "Dyadic",
    "EDMWeight",
    "EulerianTarget",
    "FeatureAlignment",
    "FeatureApproximation",
    "FenchelYoungMatching",
    "Fixed",
    "FlowMapObjective",
    "FlowMatching",
    "Guided",
    "Held",
    "HingeDispersion",
    "ImportanceCorrected",
    "InfoNCECosine",
    "InfoNCEL2",
    "Interval",
    "Intrinsic",
    "JumpMatching",
    "Likelihood",
    "LocalContrastive",
    "LogitNormal",
    "MapObjective",
    "MapTarget",
    "MarginalTransport",
    "MeanFlow",
    "MinSNR",
    "Mode",
    "ModularMeanFlow",
    "Neighbours",
    "NestedFlowMatching",
    "NoiseDivergence",
    "Objective",
    "PolicyImitation",
    "PseudoHuber",
    "ReconstructionLikelihood",
    "Regression",
    "Rising",
    "SegmentMatching",
    "SemigroupTarget",
    "Shift",
    "Shortcut",
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
    "Translation",
    "Tuned",
    "UShaped",
    "Uniform",
    "Unweighted",
    "VariationalReconstruction",
    "VelocityBank",
    "VelocityRefinement",
    "VelocityRule",
    "VertexRegression",
    "Wavelet",
    "Way",
    "Weighting",
    "divergence_from_noise",
    "effective_data_weight",
    "error_factor",
    "negatives",
    "total_derivative",
]
