"""Paths: how the two ends of a pair are joined in time, and what can be converted into what along the way."""

from pushforward.paths.affine import Affine
from pushforward.paths.brownian import BrownianBridge
from pushforward.paths.conversions import conversion
from pushforward.paths.schedule import Schedule
from pushforward.paths.schedules import VE, VP, CondOT, LinearVP, Polynomial, Trig
from pushforward.paths.transforms import BridgeStep, Preconditioning, bridge_step, change_schedule, edm_preconditioning

__all__ = [
    "VE",
    "VP",
    "Affine",
    "BridgeStep",
    "BrownianBridge",
    "CondOT",
    "LinearVP",
    "Polynomial",
    "Preconditioning",
    "Schedule",
    "Trig",
    "bridge_step",
    "change_schedule",
    "conversion",
    "edm_preconditioning",
]
