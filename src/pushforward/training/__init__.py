"""Training: the stream of pairs, the loop, checkpoints, and `fit` which puts the pieces together."""

from pushforward.training.checkpoint import Checkpoints
from pushforward.training.ema import EMA
from pushforward.training.fit import fit, fit_config
from pushforward.training.log import TrainingLog, read_history
from pushforward.training.run import open_run, read_config
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Diverged, Trainer

__all__ = [
    "EMA",
    "Checkpoints",
    "Diverged",
    "PairStream",
    "Trainer",
    "TrainingLog",
    "fit",
    "fit_config",
    "open_run",
    "read_config",
    "read_history",
]
