"""Transports: maps from a source to a target that push, pull, tell densities, save and load."""

from pushforward.maps.evaluation import Evaluation, default_metrics, evaluate
from pushforward.maps.flow import FlowTransport
from pushforward.maps.frame import Frame
from pushforward.maps.gaussian import GaussianMap, Moments
from pushforward.maps.plan import PlanTransport
from pushforward.maps.store import load
from pushforward.maps.transport import Transport

__all__ = [
    "Evaluation", "FlowTransport", "Frame", "GaussianMap", "Moments", "PlanTransport", "Transport", "default_metrics",
    "evaluate", "load",
]  # fmt: skip
