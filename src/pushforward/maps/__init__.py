"""Transports: maps from a source to a target that push, pull, tell densities, save and load."""

from pushforward.maps.evaluation import Evaluation, default_metrics, evaluate
from pushforward.maps.flow import FlowTransport
from pushforward.maps.frame import Frame
from pushforward.maps.gaussian import GaussianMap, Moments
from pushforward.maps.inverse_flow import InverseFlow
from pushforward.maps.multimarginal import MultimarginalTransport
from pushforward.maps.plan import PlanTransport
from pushforward.maps.route_field import RouteField, cheapest_route, transport_cost
from pushforward.maps.start import Start
from pushforward.maps.store import load
from pushforward.maps.transport import Transport

__all__ = [
    "Evaluation",
    "FlowTransport",
    "Frame",
    "GaussianMap",
    "InverseFlow",
    "Moments",
    "MultimarginalTransport",
    "PlanTransport",
    "RouteField",
    "Start",
    "Transport",
    "cheapest_route",
    "default_metrics",
    "evaluate",
    "load",
    "transport_cost",
]
