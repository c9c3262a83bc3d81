"""Sliced Wasserstein distances: transport between one-dimensional projections, where it is sorting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from pushforward.errors import InputError
from pushforward.geometry import SquaredEuclidean
from pushforward.ot.exact.one_dimensional import line_costs
from pushforward.ot.problem import Array, pose

__all__ = ["SliceMode", "sliced_wasserstein"]

SliceMode: TypeAlias = Literal["mean", "max", "importance"]
"""How the distances along the directions make one number."""

BLOCK = 1 << 23
"""Projected points that are held at a time."""

STARTS, STEPS = 8, 20
"""Directions that `"max"` improves, the best of the random ones, and how often."""


def sliced_wasserstein(
    x: Array,
    y: Array,
    a: Array | None = None,
    b: Array | None = None,
    *,
    p: float = 2.0,
    directions: int = 128,
    mode: SliceMode = "mean",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the p-th power of a sliced p-Wasserstein distance of `x: (n, d)` and `y: (m, d)`, a 0-d tensor.

    With `W_l = W_p^p(<x, theta_l>, <y, theta_l>)` along directions `theta_l` drawn uniformly from the sphere:

    - `"mean"`: `SW_p^p`, the mean of `W_l`. A translation by v gives `|v|^2 / d` on average (p = 2).
    - `"max"`: the largest. The best random directions climb along their gradients for a few steps, so this is a lower
      bound of max-sliced `W_p^p`. A translation by v gives `|v|^p`.
    - `"importance"`: `sum_l softmax(W)_l W_l`, between the two; the softmax sees the unit of x.

    Weights are uniform unless given as `a: (n,)`, `b: (m,)`, of sum 1, zeros allowed. The result is in units of `x^p`
    and differentiable in points and weights. The gradient of `"max"` holds the direction and its coupling, which is
    right where the clouds lie apart. Where they overlap, the largest distance is often found where two projections
    change places, at a kink, and the gradient is that of one side: in the plane it was off by up to 2 % for 500 points,
    4 % for 100 and tens of per cent for 20. More `directions` find a larger distance, but at a kink still.

    Time `L (n + m) log(n + m)`. Raises `InputError` for points that are not finite or of unlike dimension or dtype,
    weights that are negative or do not sum to 1, `p < 1` or infinite, and an unknown mode.

    Sources: Bonneel et al., *Sliced and Radon Wasserstein barycenters of measures* (2015); Deshpande et al.,
    *Max-sliced Wasserstein distance and its use for GANs* (2019); Nguyen and Ho, *Energy-based sliced Wasserstein
    distance* (2023).

    >>> x = torch.zeros(5, 1)
    >>> sliced_wasserstein(x, x + 2, mode="max")
    tensor(4.)
    """
    problem = pose(x, y, a, b, SquaredEuclidean())
    source, target = problem.points()
    if problem.batch:
        raise InputError(f"x has shape {tuple(source.shape)}, wanted points (n, d) of one problem")
    _check(directions, mode)
    weights = None if a is None else problem.a, None if b is None else problem.b

    def costs(theta: Tensor) -> Tensor:
        parts = theta.split(max(1, BLOCK // (len(source) + len(target))))
        return torch.cat([line_costs(part @ source.T, part @ target.T, *weights, p) for part in parts])

    theta = _unit(_normal(source.shape[1], directions, source, generator).T)
    along = costs(_climb(theta, costs) if mode == "max" else theta)
    return (torch.softmax(along, 0) * along).sum() if mode == "importance" else along.mean()


@torch.no_grad()
def _climb(theta: Tensor, costs: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the best direction, `(1, d)`, seen while the best few of `theta` move to where their gradients point."""
    found = costs(theta)
    theta = theta[found.topk(min(STARTS, len(theta))).indices]
    best, most = theta[:1], found.max()
    for _ in range(STEPS):
        with torch.enable_grad():
            found = costs(theta.requires_grad_())
            (gradient,) = torch.autograd.grad(found.sum(), theta)
        if found.max() > most:
            best, most = theta[found.argmax()].detach()[None], found.max().detach()
        theta = _unit(gradient)
    return best.detach()


def _unit(theta: Tensor) -> Tensor:
    return theta / theta.norm(dim=1, keepdim=True).clamp(min=torch.finfo(theta.dtype).tiny)


def _normal(d: int, n: int, like: Tensor, generator: torch.Generator | None) -> Tensor:
    device = like.device if generator is None else generator.device
    return torch.randn(d, n, generator=generator, device=device, dtype=like.dtype).to(like.device)


def _check(directions: int, mode: SliceMode) -> None:
    if directions < 1:
        raise InputError(f"directions must be at least 1, got {directions}")
    if mode not in ("mean", "max", "importance"):
        raise InputError(f"mode must be 'mean', 'max' or 'importance', got {mode!r}")
