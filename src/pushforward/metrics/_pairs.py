"""What every sample metric needs: checked flat samples, and sums over all pairs in memory linear in the points."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.tensors import check_finite, check_same_event

__all__ = ["Estimator", "distance_chunks", "flat_pair", "mean_between", "mean_within", "normal", "subsample"]

Estimator: TypeAlias = Literal["biased", "unbiased"]
"""Whether pairs of a point with itself count (V-statistic, never negative) or not (U-statistic, right on average)."""

Kernel: TypeAlias = Callable[[Tensor], Tensor]

CHUNK = 1 << 20  # entries of one block of distances: 4 MB in float32
EXACT_WORK = 1 << 28  # coordinate differences worth forming one by one: under a second


def flat_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Check two samples `(n, *event)`, `(m, *event)` and flatten their events: `(n, d)`, `(m, d)`."""
    for name, samples in (("x", x), ("y", y)):
        if samples.ndim < 2 or samples.numel() == 0:
            raise InputError(f"{name} has shape {tuple(samples.shape)}, wanted (rows, *event) with at least one row")
        if not samples.is_floating_point():
            raise InputError(f"{name} has dtype {samples.dtype}, wanted a floating one: convert it first")
        check_finite(name, samples)
    check_same_event("x", x.shape[1:], "y", y.shape[1:])
    if x.dtype != y.dtype:
        raise InputError(f"x is {x.dtype} but y is {y.dtype}: convert one of them")
    return x.flatten(1), y.flatten(1)


def distance_chunks(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """Yield the Euclidean distances of `x: (n, d)` to `y: (m, d)` in blocks of rows."""
    # By differences where that is affordable; the matrix product, |x|^2 + |y|^2 - 2xy, is up to 30 times faster but
    # loses digits between near points. Around a common centre it loses the fewest.
    product = x.shape[0] * y.shape[0] * x.shape[1] > EXACT_WORK
    mode = "use_mm_for_euclid_dist" if product else "donot_use_mm_for_euclid_dist"
    centre = y.mean(0)
    for rows in x.split(max(1, CHUNK // y.shape[0])):
        yield torch.cdist(rows - centre, y - centre, compute_mode=mode)


def mean_between(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Mean of `kernel(|x_i - y_j|)` over all pairs."""
    total = x.new_zeros(())
    for block in distance_chunks(x, y):
        total = total + kernel(block).sum()
    return total / (x.shape[0] * y.shape[0])


def mean_within(x: Tensor, kernel: Kernel, estimator: Estimator) -> Tensor:
    """Mean of `kernel(|x_i - x_j|)` over all pairs (`"biased"`), or over the pairs of different rows (`"unbiased"`)."""
    n = x.shape[0]
    mean = mean_between(x, x, kernel)
    if estimator == "biased":
        return mean
    if n < 2:
        raise InputError("the unbiased estimator needs at least two rows on each side: pass estimator='biased'")
    return (n * mean - kernel(x.new_zeros(()))) / (n - 1)


def normal(*shape: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw standard normals on the generator's device and hand them over in the dtype and device of `like`."""
    device = like.device if generator is None else generator.device
    return torch.randn(*shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def subsample(x: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """Keep `n` random rows of `x`, or all of them if there are no more."""
    if x.shape[0] <= n:
        return x
    device = x.device if generator is None else generator.device
    return x[torch.randperm(x.shape[0], generator=generator, device=device)[:n].to(x.device)]
