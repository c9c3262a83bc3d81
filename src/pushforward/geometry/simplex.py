"""Euclidean projection onto the simplex, with or without a bound on the number of non-zero coordinates."""

from __future__ import annotations

import torch
from torch import Tensor

from pushforward.errors import InputError

__all__ = ["project_simplex", "simplex_threshold"]


def project_simplex(v: Tensor, z: float | Tensor = 1.0, k: int | None = None, dim: int = -1) -> Tensor:
    """Return the point of the simplex nearest to `v`, among those with at most `k` non-zero coordinates.

        argmin |p - v|^2   over   p >= 0,  sum p = z,  |p|_0 <= k

    It is `(v - tau)_+` on the k largest coordinates (exactly k of them where there are ties), with the threshold that
    makes the sum z. `v: (...)` is projected along `dim`; `z > 0` is a number, or a tensor with the shape of `v` without
    `dim`. Differentiable in `v` and `z`, with the k largest held fixed. Time n log n.

    Raises `InputError` for `k < 1` or an empty dimension. Source: Held et al. (1974); with cardinality Kyrillidis et
    al., *Sparse projections onto the simplex* (2013).

    >>> project_simplex(torch.tensor([0.8, 0.6, 0.1]))
    tensor([0.6000, 0.4000, 0.0000])
    >>> project_simplex(torch.tensor([0.8, 0.6, 0.1]), k=1)
    tensor([1., 0., 0.])
    """
    top, index = _largest(v, k, dim)
    part = (top - _threshold(top, z, dim)).clamp(min=0)
    return torch.zeros_like(v).scatter(dim, index, part)


def simplex_threshold(v: Tensor, z: float | Tensor = 1.0, k: int | None = None, dim: int = -1) -> Tensor:
    """Return the `tau` with `sum (v_i - tau)_+ = z` over the k largest coordinates: the shape of `v` without `dim`.

    Coordinates of minus infinity take no part. As a function of `v` it changes by no more than the largest change of
    a coordinate. Raises `InputError` for `k < 1` or an empty dimension.
    """
    return _threshold(_largest(v, k, dim)[0], z, dim).squeeze(dim)


def _largest(v: Tensor, k: int | None, dim: int) -> tuple[Tensor, Tensor]:
    size = v.shape[dim]
    if size == 0 or (k is not None and k < 1):
        raise InputError(f"the projection needs k >= 1 and at least one coordinate, got k={k} of {size} coordinates")
    if k is None or k >= size:
        return v.sort(dim=dim, descending=True)
    return v.topk(k, dim=dim)


def _threshold(top: Tensor, z: float | Tensor, dim: int) -> Tensor:
    """Return the threshold of coordinates in falling order; of those, the first `count` exceed it."""
    excess = top.cumsum(dim) - (z.unsqueeze(dim) if isinstance(z, Tensor) else z)
    shape = [-1 if axis == dim % top.ndim else 1 for axis in range(top.ndim)]
    rank = torch.arange(1, top.shape[dim] + 1, device=top.device, dtype=top.dtype).reshape(shape)
    # at least one: beside a huge coordinate z is lost to rounding
    count = (top * rank > excess).sum(dim, keepdim=True).clamp(min=1)
    return excess.gather(dim, count - 1) / count
