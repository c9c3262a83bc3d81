"""Measures: what can be sampled, from files, from closed forms and from the toy problems of the field."""

from pushforward.measures.as_measure import as_measure
from pushforward.measures.digits import digits
from pushforward.measures.empirical import Empirical
from pushforward.measures.files import read
from pushforward.measures.gaussian import Gaussian
from pushforward.measures.interpolant_oracle import InterpolantOracle
from pushforward.measures.label_codecs import LabelCodec, OneHot, OneHotMask, Ordinal, Planes
from pushforward.measures.measure import Measure, Samples
from pushforward.measures.mixture import GaussianMixture
from pushforward.measures.mixture_batch import MixtureBatch
from pushforward.measures.named import named_measures, takes_shape
from pushforward.measures.oracle import AffineOracle
from pushforward.measures.paired_oracle import PairedOracle
from pushforward.measures.point_oracle import PointOracle
from pushforward.measures.student_t import StudentT
from pushforward.measures.toys import (
    TOYS,
    Checkerboard,
    Circles,
    MoonsSklearn,
    MoonsTorchdyn,
    Pinwheel,
    SCurve,
    Spirals,
    eight_gaussians,
    eight_gaussians_torchcfm,
    gaussians_on_circle,
    ring,
    two_gaussians,
)
from pushforward.measures.velocity_oracle import VelocityOracle
from pushforward.measures.write import write_samples

__all__ = [
    "TOYS",
    "AffineOracle",
    "Checkerboard",
    "Circles",
    "Empirical",
    "Gaussian",
    "GaussianMixture",
    "InterpolantOracle",
    "LabelCodec",
    "Measure",
    "MixtureBatch",
    "MoonsSklearn",
    "MoonsTorchdyn",
    "OneHot",
    "OneHotMask",
    "Ordinal",
    "PairedOracle",
    "Pinwheel",
    "Planes",
    "PointOracle",
    "SCurve",
    "Samples",
    "Spirals",
    "StudentT",
    "VelocityOracle",
    "as_measure",
    "digits",
    "eight_gaussians",
    "eight_gaussians_torchcfm",
    "gaussians_on_circle",
    "named_measures",
    "read",
    "ring",
    "takes_shape",
    "two_gaussians",
    "write_samples",
]
