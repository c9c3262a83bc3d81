"""Paths: how the two ends of a pair are joined in time, and what can be converted into what along the way."""

from pushforward.paths.affine import Affine
from pushforward.paths.amplified import Amplified
from pushforward.paths.blend import Blend, EncodingDecoding, LinearBlend, Mirror, TrigBlend
from pushforward.paths.brownian import BrownianBridge
from pushforward.paths.codec import Codec, PrincipalComponents
from pushforward.paths.conversions import conversion
from pushforward.paths.gamma import BrownianGamma, Gamma, QuadraticGamma, SigmoidGamma, SineGamma, Spread
from pushforward.paths.interpolant import Interpolant
from pushforward.paths.kinetic import KineticOptimal, kinetic_energy, kinetic_optimal, mmse, separation
from pushforward.paths.latent import Latent
from pushforward.paths.linear_ve import EDM_REFERENCE, LinearVE
from pushforward.paths.neural import NeuralDiffusion
from pushforward.paths.reparametrised import Reparametrised
from pushforward.paths.route import Route, follow_route
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import VE, VP, CondOT, LinearVP, Polynomial, Trig
from pushforward.paths.tabulated import Tabulated
from pushforward.paths.transforms import BridgeStep, Preconditioning, bridge_step, change_schedule, edm_preconditioning

__all__ = [
    "EDM_REFERENCE",
    "VE",
    "VP",
    "Affine",
    "Amplified",
    "Blend",
    "BridgeStep",
    "BrownianBridge",
    "BrownianGamma",
    "Codec",
    "CondOT",
    "EncodingDecoding",
    "Gamma",
    "Interpolant",
    "KineticOptimal",
    "Latent",
    "LinearBlend",
    "LinearVE",
    "LinearVP",
    "Mirror",
    "NeuralDiffusion",
    "Polynomial",
    "Preconditioning",
    "PrincipalComponents",
    "QuadraticGamma",
    "Reparametrised",
    "Route",
    "Schedule",
    "SigmoidGamma",
    "SineGamma",
    "Spread",
    "Tabulated",
    "Trig",
    "TrigBlend",
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
