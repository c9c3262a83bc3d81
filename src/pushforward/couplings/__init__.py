"""Couplings: which source point travels to which target point."""

from pushforward.couplings.independent import Independent
from pushforward.couplings.minibatch_ot import MinibatchOT

__all__ = ["Independent", "MinibatchOT"]
