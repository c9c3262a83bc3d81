"""How far a sample is from its target, and what the paths there cost; every score is printed beside its floor."""

from pushforward.metrics.bures import bures_wasserstein2, entropic_gaussian, gaussian_wasserstein2
from pushforward.metrics.classifier import ClassifierTwoSample, classifier_two_sample
from pushforward.metrics.energy import EnergyDistance, energy_distance
from pushforward.metrics.likelihood import negative_log_likelihood
from pushforward.metrics.metric import Metric
from pushforward.metrics.mmd import MMD2, median_bandwidth, mmd2
from pushforward.metrics.score import Score, format_scores, measure, score
from pushforward.metrics.sinkhorn import SinkhornDivergence
from pushforward.metrics.trajectories import path_energy, straightness
from pushforward.metrics.wasserstein import SlicedWasserstein2, Wasserstein2, sliced_wasserstein2, wasserstein2

__all__ = [
    "MMD2",
    "ClassifierTwoSample",
    "EnergyDistance",
    "Metric",
    "Score",
    "SinkhornDivergence",
    "SlicedWasserstein2",
    "Wasserstein2",
    "bures_wasserstein2",
    "classifier_two_sample",
    "energy_distance",
    "entropic_gaussian",
    "format_scores",
    "gaussian_wasserstein2",
    "measure",
    "median_bandwidth",
    "mmd2",
    "negative_log_likelihood",
    "path_energy",
    "score",
    "sliced_wasserstein2",
    "straightness",
    "wasserstein2",
]  # fmt: skip
