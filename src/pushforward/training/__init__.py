"""Training: the stream of pairs, the loop, checkpoints, and `fit` which puts the pieces together."""

from pushforward.training.checkpoint import Checkpoints
from pushforward.training.codec import TrainedCodec, fit_codec
from pushforward.training.ema import EMA
from pushforward.training.fit import both_measures, call_plain, fit, fit_config
from pushforward.training.log import TrainingLog, read_history
from pushforward.training.multimarginal import fit_multimarginal, marginal_measures
from pushforward.training.run import as_written, is_main_process, open_run, read_config
from pushforward.training.sides import FramedSides
from pushforward.training.stream import PairStream
from pushforward.training.trainer import Diverged, Trainer

__all__ = [
    "EMA",
    "Checkpoints",
    "Diverged",
    "FramedSides",
    "PairStream",
    "TrainedCodec",
    "Trainer",
    "TrainingLog",
    "as_written",
    "both_measures",
    "call_plain",
    "fit",
    "fit_codec",
    "fit_config",
    "fit_multimarginal",
    "is_main_process",
    "marginal_measures",
    "open_run",
    "read_config",
    "read_history",
]
