"""Couplings: which source point travels to which target point."""

from pushforward.couplings.corruption import Corruption
from pushforward.couplings.gibbs import GibbsWeights
from pushforward.couplings.independent import Independent
from pushforward.couplings.matched import Matched
from pushforward.couplings.minibatch_ot import MinibatchOT
from pushforward.couplings.nearest_noise import NearestNoise
from pushforward.couplings.null_targets import NullTargets
from pushforward.couplings.observed import Degraded, Holed
from pushforward.couplings.semidiscrete import SemiDiscrete

__all__ = [
    "Corruption", "Degraded", "GibbsWeights", "Holed", "Independent", "Matched", "MinibatchOT", "NearestNoise",
    "NullTargets", "SemiDiscrete",
]  # fmt: skip
