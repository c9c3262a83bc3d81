"""Distillation: from a trained flow to a transport that needs few evaluations of the network."""

from pushforward.distillation.acceleration import ConstantAcceleration
from pushforward.distillation.boss import Boss
from pushforward.distillation.distil import distil
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.flowturbo import FlowTurbo
from pushforward.distillation.mean_flow import MeanFlowDistillation
from pushforward.distillation.perflow import PerFlow
from pushforward.distillation.reflow import Reflow
from pushforward.distillation.task import STAGES, TEACHER, Task
from pushforward.distillation.transplant import Transplant

__all__ = [
    "STAGES",
    "TEACHER",
    "Boss",
    "ConstantAcceleration",
    "Distillation",
    "FlowTurbo",
    "MeanFlowDistillation",
    "PerFlow",
    "Reflow",
    "Task",
    "Transplant",
    "distil",
]
