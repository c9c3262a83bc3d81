"""What importance weights cost: how many pairs they leave in effect, and how far they tilt the marginals."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pushforward.errors import InputError

__all__ = ["Tilt", "effective_share", "marginal_tilt"]


def effective_share(weight: Tensor) -> Tensor:
    """Share of the rows that weights leave in effect, `(sum w)^2 / (n sum w^2)`: 1 for equal weights, 1/n for one row.

    `weight: (n,)`, none negative, of any scale. Returns a 0-d tensor. Raises `InputError` unless it is a vector.
    Source: Kish, *Survey Sampling* (1965).

    >>> import torch
    >>> effective_share(torch.tensor([1.0, 1.0, 0.0, 0.0]))
    tensor(0.5000)
    """
    if weight.ndim != 1 or len(weight) == 0:
        raise InputError(f"weight has shape {tuple(weight.shape)}, wanted (rows,) with at least one row")
    scaled = weight / weight.amax()  # squares of tiny weights would vanish
    return scaled.sum().square() / (len(weight) * scaled.square().sum())


@dataclass(frozen=True)
class Tilt:
    """How far a weighted product of two distributions is from having them as marginals.

    `source` and `target` are the total variation between each distribution and the weighted marginal on its side, `E|r
    - 1| / 2` for the density ratio r: 0 for the same law, 1 at most. `share` is the `effective_share` of the pairs.
    """

    source: float
    target: float
    share: float


def marginal_tilt(log_weight: Tensor) -> Tilt:
    """Measure the tilt of the law proportional to `w(x0, x1) p0(x0) p1(x1)` from the weights of all pairs of samples.

    `log_weight: (n, m)`, `log w(x0_i, x1_j)` up to a constant, for independent samples of either side. The density
    ratio of the tilted source at `x0_i` is the mean of row i over the mean of all; its sampling error adds about
    `0.4 sqrt((1 / share - 1) / m)` to the total variation. Raises `InputError` unless it is a matrix.

    >>> import torch
    >>> marginal_tilt(torch.zeros(3, 4))
    Tilt(source=0.0, target=0.0, share=1.0)
    """
    if log_weight.ndim != 2 or log_weight.numel() == 0:
        raise InputError(f"log_weight has shape {tuple(log_weight.shape)}, wanted (source rows, target rows)")
    weight = (log_weight - log_weight.amax()).double().exp()
    weight = weight / weight.mean()
    source, target = (float((weight.mean(axis) - 1).abs().mean() / 2) for axis in (1, 0))
    return Tilt(source, target, float(effective_share(weight.flatten())))
