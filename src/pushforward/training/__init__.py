"""Training: the stream of pairs, the loop, checkpoints, and `fit` which puts the pieces together."""

from pushforward.training.checkpoint import Checkpoints
from pushforward.training.ema import EMA
from pushforward.training.fit import fit, fit_config
from pushforward.training.log import TrainingLog, read_history
from pushforward.training.multimarginal import fit_multimarginal
from pushforward.training.run import open_run, read_config
from pushforward.training.sides import FramedSides
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Diverged, Trainer

__all__ = [
    "EMA",
    "Checkpoints",
    "Diverged",
    "FramedSides",
    "PairStream",
    "Trainer",
    "TrainingLog",
    "fit",
    "fit_config",
    "fit_multimarginal",
    "open_run",
    "read_config",
    "read_history",
]
