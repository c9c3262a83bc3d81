"""Which soft transform suits a problem."""

from __future__ import annotations

import math

import torch

from pushforward.ot.entropic.fused import transform_of_points
from pushforward.ot.entropic.transform import DENSE, DenseTransform, SoftTransform
from pushforward.ot.problem import Problem

__all__ = ["transform_of"]


def transform_of(problem: Problem, epsilon: float, dtype: torch.dtype) -> SoftTransform:
    """Return the quickest transform: by a kernel matrix where there is room for one, else straight from the points."""
    n, m = problem.shape
    if math.prod(problem.batch) * n * m <= DENSE:
        return DenseTransform(problem, epsilon, dtype)
    return transform_of_points(problem, epsilon, dtype)
