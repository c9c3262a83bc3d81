"""Networks: architectures, embeddings of time and condition, fields that know what they predict, guidance."""

from pushforward.networks.architecture import Architecture
from pushforward.networks.embedding import ConditionEmbedding, FourierTime
from pushforward.networks.field import Field
from pushforward.networks.guidance import ClassifierFree
from pushforward.networks.mlp import MLP
from pushforward.networks.unet import UNet

__all__ = ["MLP", "Architecture", "ClassifierFree", "ConditionEmbedding", "Field", "FourierTime", "UNet"]
