"""What a layer of a network sees in its input."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from pushforward.errors import InputError, nearest

__all__ = ["Reading", "features"]


@dataclass
class Reading:
    """What a layer returned: `features: (B, ...)` at its latest call."""

    _kept: list[Tensor] = field(default_factory=list)

    @property
    def features(self) -> Tensor:
        """The layer's output, with its gradients. Raises `InputError` before the first call."""
        return self._all[-1]

    @property
    def trained(self) -> Tensor:
        """The layer's output at the first call that carries gradients, the first of all where none does. Raises
        `InputError` before the first call.
        """
        return next((output for output in self._all if output.requires_grad), self._all[0])

    @property
    def _all(self) -> list[Tensor]:
        if not self._kept:
            raise InputError("the layer was not called: evaluate the network first, inside the context")
        return self._kept

    @property
    def pooled(self) -> Tensor:
        """The features, images averaged over their pixels: `(B, k)`."""
        return self.features.flatten(2).mean(2) if self.features.ndim > 2 else self.features


@contextmanager
def features(network: nn.Module, layer: str) -> Iterator[Reading]:
    """Read what `layer`, a dotted name among those of `network.named_modules()`, returns while the context lasts.

    Raises `InputError` for an unknown layer, and names the nearest one.

    >>> from pushforward.networks import MLP
    >>> import torch
    >>> net = MLP(width=32).build((2,), {})
    >>> with features(net, "hidden.0") as reading:
    ...     out = net(torch.zeros(5, 2), torch.zeros(5))
    >>> reading.features.shape
    torch.Size([5, 32])
    """
    layers = dict(network.named_modules())
    if not layer or layer not in layers:
        known = ", ".join(name for name in layers if name and name.count(".") < 2)
        raise InputError(f"the network has no layer {layer!r}{nearest(layer, layers)} (layers: {known})")
    reading = Reading()

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        reading._kept.append(output)

    handle = layers[layer].register_forward_hook(keep)
    try:
        yield reading
    finally:
        handle.remove()
