"""Ground geometry: what it costs to move one point onto another."""

from pushforward.geometry.cost import Cost, PNorm, SquaredEuclidean

__all__ = ["Cost", "PNorm", "SquaredEuclidean"]
