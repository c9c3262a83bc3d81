"""A view of points in the plane: as they are in two dimensions, on their principal axes above."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Projection", "fit_projection"]


@dataclass(frozen=True)
class Projection:
    """An affine map of flattened events `(n, d)` to the plane, and the names of its axes."""

    mean: Tensor
    directions: Tensor
    axes: tuple[str, str]

    def __call__(self, x: Tensor) -> Tensor:
        """Project `x: (..., *event)` with the events of `mean`, flattened: `(n, *event) -> (n, 2)`."""
        flat = x.detach().to("cpu", torch.float64).flatten(1)
        if flat.shape[1] == 1:
            return torch.cat([flat, _spread(len(flat))], dim=1)
        return (flat - self.mean) @ self.directions


def fit_projection(source: Tensor | None, target: Tensor) -> Projection:
    """Fit the plane to the source and the target together, so that neither is favoured.

    Two coordinates are kept as they are; above, the two directions of largest variance are taken (principal component
    analysis) and the axes say how much of the variance they carry. A single coordinate is drawn across, with a height
    that means nothing.

    >>> fit_projection(None, torch.eye(3).repeat(4, 1)).axes
    ('PC 1 (50 % of the variance)', 'PC 2 (50 % of the variance)')
    """
    parts = [part.detach().to("cpu", torch.float64).flatten(1) for part in (source, target) if part is not None]
    d = parts[0].shape[1]
    if d <= 2:
        axes = ("x1", "x2") if d == 2 else ("x", "no meaning: rows are spread out")
        return Projection(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), axes)
    return _principal(torch.cat(parts))


def _principal(points: Tensor) -> Projection:
    mean = points.mean(0)
    centred = points - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred)
    directions = vectors[:, -2:].flip(1)
    # An eigenvector is known up to its sign: the largest entry is made positive, so that reports agree.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    share = (100 * values[-2:].flip(0) / values.sum().clamp_min(1e-300)).tolist()
    axes = (f"PC 1 ({share[0]:.0f} % of the variance)", f"PC 2 ({share[1]:.0f} % of the variance)")
    return Projection(mean, directions * largest.sign(), axes)


def _spread(n: int) -> Tensor:
    """Heights that are evenly spread and unrelated to the order of the rows (multiples of the golden ratio, modulo
    1).
    """
    return ((torch.arange(1, n + 1, dtype=torch.float64) * 0.6180339887498949) % 1)[:, None]
