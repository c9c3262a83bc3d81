"""What evaluating a network costs: floating-point operations, and calls of its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from pushforward.errors import InputError, nearest

__all__ = ["Cost", "counted_cost"]


@dataclass
class Cost:
    """Floating-point operations of matrix products, convolutions and attention (a multiply-add counts as two), and how
    often each of the parts was `called`.
    """

    flops: int = 0
    called: Counter[str] = field(default_factory=Counter)


@contextmanager
def counted_cost(network: nn.Module, *parts: str) -> Iterator[Cost]:
    """Count what is computed while the context lasts, and the calls of `parts`, dotted names among those of
    `network.named_modules()`; the operations stand in the result when it ends.

    Raises `InputError` for an unknown part, and names the nearest one.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(3, 5))
    >>> with counted_cost(net, "0") as cost:
    ...     out = net(torch.zeros(7, 3))
    >>> cost.flops == 2 * 7 * 3 * 5, cost.called["0"]
    (True, 1)
    """
    from torch.utils.flop_counter import FlopCounterMode  # it imports Triton, which nothing else may need

    modules, cost = dict(network.named_modules()), Cost()
    for name in parts:
        if name not in modules:
            raise InputError(f"the network has no part {name!r}{nearest(name, modules)}")

    def counting(name: str) -> Callable[[nn.Module, Any], None]:
        def count(_module: nn.Module, _inputs: Any) -> None:
            cost.called[name] += 1

        return count

    handles = [modules[name].register_forward_pre_hook(counting(name)) for name in parts]
    counter = FlopCounterMode(display=False)
    try:
        with counter:
            yield cost
    finally:
        cost.flops = counter.get_total_flops()
        for handle in handles:
            handle.remove()
