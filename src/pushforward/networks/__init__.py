"""Networks: architectures, embeddings of time and condition, fields that know what they predict, guidance."""

from pushforward.networks.architecture import Architecture
from pushforward.networks.dit import DiT
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.features import Reading, features
from pushforward.networks.field import Field
from pushforward.networks.flow_head import FlowHead, FlowLaw, HierarchicalFlow
from pushforward.networks.guidance import ClassifierFree
from pushforward.networks.interference import Deinterfered
from pushforward.networks.mixture_head import MixtureHead, MixtureLaw
from pushforward.networks.mlp import MLP
from pushforward.networks.observed import Concatenated, FrozenWhereKnown
from pushforward.networks.patches import Patches
from pushforward.networks.residual import Adapter, ContractiveResidual, Corrected, Residual
from pushforward.networks.skip_autoencoder import SkipAutoencoder
from pushforward.networks.unet import UNet
from pushforward.networks.vertices import VertexField, Vertices

__all__ = [
    "MLP",
    "Adapter",
    "Architecture",
    "ClassifierFree",
    "Concatenated",
    "ConditionEmbedding",
    "ContractiveResidual",
    "Corrected",
    "Deinterfered",
    "DiT",
    "Field",
    "FlowHead",
    "FlowLaw",
    "FourierTime",
    "FrozenWhereKnown",
    "HierarchicalFlow",
    "MixtureHead",
    "MixtureLaw",
    "Patches",
    "Reading",
    "Residual",
    "SkipAutoencoder",
    "UNet",
    "VertexField",
    "Vertices",
    "features",
]
