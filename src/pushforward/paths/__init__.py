"""Paths: how the two ends of a pair are joined in time, and what can be converted into what along the way."""

from pushforward.paths.accelerating import Accelerating
from pushforward.paths.acceleration import Accelerated, Acceleration, OnAccelerating
from pushforward.paths.affine import Affine
from pushforward.paths.amplified import Amplified
from pushforward.paths.blend import Blend, EncodingDecoding, LinearBlend, Mirror, TrigBlend
from pushforward.paths.brownian import BrownianBridge
from pushforward.paths.codec import Codec, CodecToLoad, PrincipalComponents, UncertainCodec
from pushforward.paths.conversions import conversion
from pushforward.paths.encoded_source import EncodedSource
from pushforward.paths.gamma import BrownianGamma, Gamma, QuadraticGamma, SigmoidGamma, SineGamma, Spread
from pushforward.paths.interpolant import Interpolant
from pushforward.paths.kinetic import KineticOptimal, kinetic_energy, kinetic_optimal, mmse, separation
from pushforward.paths.latent import Latent
from pushforward.paths.linear_ve import LinearVE
from pushforward.paths.neural import NeuralDiffusion
from pushforward.paths.reparametrised import Reparametrised
from pushforward.paths.route import Route, follow_route
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import VE, VP, CondOT, LinearVP, Polynomial, Trig
from pushforward.paths.segments import Segments
from pushforward.paths.stable_diffusion import AutoencoderKLCodec, PretrainedAutoencoderKL
from pushforward.paths.symmetric import Symmetric
from pushforward.paths.tabulated import Tabulated
from pushforward.paths.transforms import BridgeStep, Preconditioning, bridge_step, change_schedule, edm_preconditioning
from pushforward.paths.variational import FrozenCodec, VariationalCodec
from pushforward.paths.variational_noise import VariationalNoise
from pushforward.paths.windows import Windows

__all__ = [
    "VE",
    "VP",
    "Accelerated",
    "Accelerating",
    "Acceleration",
    "Affine",
    "Amplified",
    "AutoencoderKLCodec",
    "Blend",
    "BridgeStep",
    "BrownianBridge",
    "BrownianGamma",
    "Codec",
    "CodecToLoad",
    "CondOT",
    "EncodedSource",
    "EncodingDecoding",
    "FrozenCodec",
    "Gamma",
    "Interpolant",
    "KineticOptimal",
    "Latent",
    "LinearBlend",
    "LinearVE",
    "LinearVP",
    "Mirror",
    "NeuralDiffusion",
    "OnAccelerating",
    "Polynomial",
    "Preconditioning",
    "PretrainedAutoencoderKL",
    "PrincipalComponents",
    "QuadraticGamma",
    "Reparametrised",
    "Route",
    "Schedule",
    "Segments",
    "SigmoidGamma",
    "SineGamma",
    "Spread",
    "Symmetric",
    "Tabulated",
    "Trig",
    "TrigBlend",
    "UncertainCodec",
    "VariationalCodec",
    "VariationalNoise",
    "Windows",
    "bridge_step",
    "change_schedule",
    "conversion",
    "edm_preconditioning",
    "follow_route",
    "kinetic_energy",
    "kinetic_optimal",
    "mmse",
    "separation",
]
