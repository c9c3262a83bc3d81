"""How far a sample is from its target, and what the paths there cost; every score is printed beside its floor."""

from pushforward.metrics.bures import (
    bures_wasserstein2,
    entropic_cross_covariance,
    entropic_gaussian,
    gaussian_wasserstein2,
)
from pushforward.metrics.classifier import ClassifierTwoSample, classifier_two_sample
from pushforward.metrics.energy import EnergyDistance, energy_distance
from pushforward.metrics.likelihood import negative_log_likelihood
from pushforward.metrics.metric import Metric
from pushforward.metrics.mmd import MMD2, median_bandwidth, mmd2
from pushforward.metrics.score import Score, format_scores, measure, score
from pushforward.metrics.sinkhorn import SinkhornDivergence
from pushforward.metrics.trajectories import path_energy, straightness
from pushforward.metrics.wasserstein import SlicedWasserstein2, Wasserstein2, sliced_wasserstein2, wasserstein2
from pushforward.metrics.weights import Tilt, effective_share, marginal_tilt

__all__ = [
    "MMD2",
    "ClassifierTwoSample",
    "EnergyDistance",
    "Metric",
    "Score",
    "SinkhornDivergence",
    "SlicedWasserstein2",
    "Tilt",
    "Wasserstein2",
    "bures_wasserstein2",
    "classifier_two_sample",
    "effective_share",
    "energy_distance",
    "entropic_cross_covariance",
    "entropic_gaussian",
    "format_scores",
    "gaussian_wasserstein2",
    "marginal_tilt",
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
