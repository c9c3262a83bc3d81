"""Distillation: from a trained flow to a transport that needs few evaluations of the network."""

from pushforward.distillation.acceleration import ConstantAcceleration
from pushforward.distillation.adapter_files import ADAPTER, save_adapter, with_adapter
from pushforward.distillation.boss import Boss
from pushforward.distillation.consistency import ConsistencyDistillation
from pushforward.distillation.distil import distil
from pushforward.distillation.distillation import Distillation
from pushforward.distillation.flowturbo import FlowTurbo
from pushforward.distillation.mdt import MDTDistillation
from pushforward.distillation.mean_flow import MeanFlowDistillation
from pushforward.distillation.perflow import PerFlow
from pushforward.distillation.pi_flow import PiFlow
from pushforward.distillation.plugged import Plugged
from pushforward.distillation.re_mean_flow import ReMeanFlow
from pushforward.distillation.reflow import Reflow
from pushforward.distillation.shortcut import ShortcutDistillation
from pushforward.distillation.staged_mean_flow import StagedMeanFlow
from pushforward.distillation.task import STAGES, TEACHER, Task
from pushforward.distillation.transplant import Transplant

__all__ = [
    "ADAPTER",
    "STAGES",
    "TEACHER",
    "Boss",
    "ConsistencyDistillation",
    "ConstantAcceleration",
    "Distillation",
    "FlowTurbo",
    "MDTDistillation",
    "MeanFlowDistillation",
    "PerFlow",
    "PiFlow",
    "Plugged",
    "ReMeanFlow",
    "Reflow",
    "ShortcutDistillation",
    "StagedMeanFlow",
    "Task",
    "Transplant",
    "distil",
    "save_adapter",
    "with_adapter",
]
