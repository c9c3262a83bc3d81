"""Ground geometry: what it costs to move one point onto another."""

from pushforward.geometry.cost import Cost, PNorm, SquaredEuclidean
from pushforward.geometry.simplex import project_simplex

__all__ = ["Cost", "PNorm", "SquaredEuclidean", "project_simplex"]
