"""The derivative of a flow map in its starting time, along the way of the state."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, TypeAlias

import torch
import torch.autograd.forward_ad as forward_ad
from torch import Tensor

from pushforward.networks.forward_mode import forward_mode
from pushforward.tensors import bcast

__all__ = ["DerivativeRule", "MapFn", "total_derivative"]

MapFn: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""An average velocity `u(x; s, e)` of `x: (B, *event)`, `s, e: (B,)`, with its condition bound."""
DerivativeRule: TypeAlias = Literal["forward", "central"]
"""How it is differentiated: in forward mode, or by a central difference."""
STEP = 5e-3
"""Half the span of a difference quotient: its error in float32 is least near here."""


def total_derivative(
    u: MapFn, x: Tensor, s: Tensor, e: Tensor, v: Tensor, *, graph: bool = False, rule: DerivativeRule = "forward"
) -> Tensor:
    """Return `D_s u = d_s u + (d_x u) v` at `(x; s, e)` for a state that moves with velocity `v: (B, *event)`.

    With the rule `forward` one evaluation in forward mode, with tangents (v, 1, 0); a central difference where an
    operation of the network has no derivative in forward mode, which is said once. With `central` two plain evaluations
    5e-3 before and after, of states that moved on by v: an error of the order of the step squared. Either is taken in
    full precision. The result carries no gradient to the parameters of u unless `graph` asks for it.
    """
    with torch.set_grad_enabled(graph), torch.autocast(x.device.type, enabled=False):
        if rule == "central":
            return _central_difference(u, x, s, e, v)
        try:
            return _forward_mode(u, x, s, e, v)
        except RuntimeError as error:  # NotImplementedError is one
            if not any(sign in str(error) for sign in ("forward AD", "forward mode AD", "jvp")):
                raise
            _say(str(error).splitlines()[0])
            return _central_difference(u, x, s, e, v)


def _forward_mode(u: MapFn, x: Tensor, s: Tensor, e: Tensor, v: Tensor) -> Tensor:
    with forward_mode():
        value = u(forward_ad.make_dual(x, v), forward_ad.make_dual(s, torch.ones_like(s)), e)
        tangent = forward_ad.unpack_dual(value).tangent
    return torch.zeros_like(x) if tangent is None else tangent


def _central_difference(u: MapFn, x: Tensor, s: Tensor, e: Tensor, v: Tensor) -> Tensor:
    middle = s.clamp(STEP, 1 - STEP)  # no network has seen times beyond the ends
    x = x + bcast(middle - s, x) * v
    after, before = u(x + STEP * v, middle + STEP, e), u(x - STEP * v, middle - STEP, e)
    return (after - before) / (2 * STEP)


@lru_cache
def _say(reason: str) -> None:
    warnings.warn(f"no derivative in forward mode ({reason}): central differences are taken instead", stacklevel=4)
