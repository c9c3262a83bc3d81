"""Networks: architectures, embeddings of time and condition, fields that know what they predict, guidance."""

from pushforward.networks.architecture import Architecture
from pushforward.networks.autoencoder import Autoencoder, AutoencoderModule, Posterior
from pushforward.networks.causal import CausalLaw, CausalTransitions
from pushforward.networks.cost import Cost, counted_cost
from pushforward.networks.critic import Criticised, WithCritic
from pushforward.networks.data_grid import DataGrid, DataGridLaw
from pushforward.networks.dit import DiT
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.feature_guided import FeatureGuided, Guided
from pushforward.networks.feature_residual import FeatureResidual, FollowedFeatures
from pushforward.networks.features import Reading, features
from pushforward.networks.field import Field
from pushforward.networks.flow_head import FlowHead, FlowLaw, HierarchicalFlow
from pushforward.networks.gradient_of import GradientOf, Potential
from pushforward.networks.guidance import GUIDANCE, ClassifierFree
from pushforward.networks.interference import Deinterfered
from pushforward.networks.lora import LoRA
from pushforward.networks.low_rank import LowRank, changed_layers, merged, started
from pushforward.networks.mixture_head import MixtureHead, MixtureLaw
from pushforward.networks.mlp import MLP
from pushforward.networks.observed import Concatenated, FrozenWhereKnown
from pushforward.networks.patches import Patches
from pushforward.networks.policy import GridPolicy, MixturePolicy, Policy, PolicyNetwork, expected_targets
from pushforward.networks.policy_head import PolicyHead
from pushforward.networks.refiner import Refined, Refiner
from pushforward.networks.residual import Adapter, Additive, ContractiveResidual, Corrected, Residual
from pushforward.networks.rotary import Rotary
from pushforward.networks.segments import SegmentExperts, checked_edges, segment_of
from pushforward.networks.skip_autoencoder import SkipAutoencoder
from pushforward.networks.time_basis import Interpolated, TimeBasis, TimePolynomial
from pushforward.networks.to_end import EndVelocity, ToEnd, ToEnds
from pushforward.networks.two_time import MeanVelocity, TwoTime, TwoTimes, told_twice
from pushforward.networks.unet import UNet
from pushforward.networks.variational_encoder import Agreement, Encoding, VariationalEncoder
from pushforward.networks.vertices import VertexField, Vertices
from pushforward.networks.weights import WeightDelta, carried_over

__all__ = [
    "GUIDANCE",
    "MLP",
    "Adapter",
    "Additive",
    "Agreement",
    "Architecture",
    "Autoencoder",
    "AutoencoderModule",
    "CausalLaw",
    "CausalTransitions",
    "ClassifierFree",
    "Concatenated",
    "ConditionEmbedding",
    "ContractiveResidual",
    "Corrected",
    "Cost",
    "Criticised",
    "DataGrid",
    "DataGridLaw",
    "Deinterfered",
    "DiT",
    "Encoding",
    "EndVelocity",
    "FeatureGuided",
    "FeatureResidual",
    "Field",
    "FlowHead",
    "FlowLaw",
    "FollowedFeatures",
    "FourierTime",
    "FrozenWhereKnown",
    "GradientOf",
    "GridPolicy",
    "Guided",
    "HierarchicalFlow",
    "Interpolated",
    "LoRA",
    "LowRank",
    "MeanVelocity",
    "MixtureHead",
    "MixtureLaw",
    "MixturePolicy",
    "Patches",
    "Policy",
    "PolicyHead",
    "PolicyNetwork",
    "Posterior",
    "Potential",
    "Reading",
    "Refined",
    "Refiner",
    "Residual",
    "Rotary",
    "SegmentExperts",
    "SkipAutoencoder",
    "TimeBasis",
    "TimePolynomial",
    "ToEnd",
    "ToEnds",
    "TwoTime",
    "TwoTimes",
    "UNet",
    "VariationalEncoder",
    "VertexField",
    "Vertices",
    "WeightDelta",
    "WithCritic",
    "carried_over",
    "changed_layers",
    "checked_edges",
    "counted_cost",
    "expected_targets",
    "features",
    "merged",
    "segment_of",
    "started",
    "told_twice",
]
