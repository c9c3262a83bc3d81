"""Transports: maps from a source to a target that push, pull, tell densities, save and load."""

from pushforward.maps.evaluation import Evaluation, default_metrics, evaluate
from pushforward.maps.flow import FlowTransport
from pushforward.maps.frame import Frame
from pushforward.maps.gaussian import GaussianMap, Moments
from pushforward.maps.inverse_flow import InverseFlow
from pushforward.maps.labels import Labels
from pushforward.maps.multimarginal import MultimarginalTransport
from pushforward.maps.plan import PlanTransport
from pushforward.maps.route_field import RouteField, cheapest_route, transport_cost
from pushforward.maps.self_generated import SelfGenerated
from pushforward.maps.start import Start
from pushforward.maps.store import load
from pushforward.maps.trajectory_pairs import TrajectoryPairs
from pushforward.maps.transport import Transport
from pushforward.maps.windowed import InWindows, WindowedReflow

__all__ = [
    "Evaluation",
    "FlowTransport",
    "Frame",
    "GaussianMap",
    "InWindows",
    "InverseFlow",
    "Labels",
    "Moments",
    "MultimarginalTransport",
    "PlanTransport",
    "RouteField",
    "SelfGenerated",
    "Start",
    "TrajectoryPairs",
    "Transport",
    "WindowedReflow",
    "cheapest_route",
    "default_metrics",
    "evaluate",
    "load",
    "transport_cost",
]
