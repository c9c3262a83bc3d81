"""Ground geometry: what it costs to move one point onto another, and what a measurement keeps of a point."""

from pushforward.geometry.cost import ConvexCost, Cost, PNorm, SquaredEuclidean
from pushforward.geometry.masks import Hole, MaskLaw, Scattered
from pushforward.geometry.operators import AveragePool, Masking, Operator
from pushforward.geometry.simplex import project_simplex

__all__ = [
    "AveragePool", "ConvexCost", "Cost", "Hole", "MaskLaw", "Masking", "Operator", "PNorm", "Scattered",
    "SquaredEuclidean", "project_simplex",
]  # fmt: skip
