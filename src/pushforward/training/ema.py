"""The exponential moving average of the weights, which is what sampling uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EMA"]

EVERY = 10


class EMA:
    """Averages every parameter that is trained: `ema <- d ema + (1 - d) p`, with the warm-up
    `d_k = min(decay, (1 + k) / (10 + k))`; buffers are copied. Frozen parameters are their own average and not held.

    The warm-up makes early averages follow the weights closely instead of remembering their random start. Steps are
    taken in about once per `(10 + k) / 10` steps, the length over which the warm-up averages, and no more seldom than
    every `EVERY`th, with that power of the decay: nearly the same average, for a tenth of the time. Short averages (a
    decay below 0.99) take in every step.

    With a `copy` of the module the average is held in the weights of that, which can then be evaluated.
    """

    def __init__(self, module: nn.Module, decay: float, copy: nn.Module | None = None) -> None:
        """Start from the module's present weights, or from those of the copy."""
        self.decay = decay
        self._every = EVERY if decay >= 0.99 else 1
        trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        followed = trained | dict(module.named_buffers())
        self._parameters, self._names, self._live = len(trained), list(followed), list(followed.values())
        held = None if copy is None else dict([*copy.named_parameters(), *copy.named_buffers()])
        self._shadow = [(t.clone() if held is None else held[name]).detach() for name, t in followed.items()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimiser step number `step` (from zero)."""
        every = min(self._every, (10 + step) // 10)
        if (step + 1) % every:
            return
        decay = min(self.decay, (1 + step) / (10 + step)) ** every
        split = self._parameters
        torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
            self._shadow[:split], self._live[:split], 1 - decay
        )
        if self._shadow[split:]:
            torch._foreach_copy_(self._shadow[split:], self._live[split:])  # pyright: ignore[reportPrivateImportUsage]

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Put the average in the place of the weights, and the weights back afterwards."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state(self) -> dict[str, Tensor]:
        """Return the averages by parameter name, without those of frozen parameters."""
        return dict(zip(self._names, self._shadow, strict=True))

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over averages saved by `state`."""
        for name, shadow in self.state().items():
            shadow.copy_(state[name])

    @torch.no_grad()
    def _exchange(self) -> None:
        for live, shadow in zip(self._live, self._shadow, strict=True):
            held = live.clone()
            live.copy_(shadow)
            shadow.copy_(held)
