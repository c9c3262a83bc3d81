"""AdamW, by torch's fused kernel and little else: a small network's step is too short for the usual bookkeeping."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["AdamW"]

FIRST_DECAY, SECOND_DECAY, EPSILON = 0.9, 0.999, 1e-8


class AdamW:
    """Adam with decoupled weight decay: `p <- (1 - rate decay) p - rate m / (sqrt(v) + 1e-8)`, with `m` and `v` the
    averages of gradient and squared gradient (decays 0.9 and 0.999), each divided by `1 - decay^k` at its step k.

    The arithmetic is that of `torch.optim.AdamW`, bit for bit. What is left out is the sorting of lists by device and
    type, which takes torch as long as the step of a small network itself. Parameters of several types, or on devices
    other than CPU and CUDA, take torch's general path. Parameters without a gradient are passed over.

    Source: Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019), algorithm 2.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, weight_decay: float = 0.0) -> None:
        """Start with averages of zero."""
        self._parameters, self._weight_decay = list(parameters), weight_decay
        kinds = {(parameter.device.type, parameter.dtype) for parameter in self._parameters}
        self._fused = len(kinds) == 1 and all(
            device in ("cpu", "cuda") and dtype.is_floating_point for device, dtype in kinds
        )
        self._first = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._second = [torch.zeros_like(parameter) for parameter in self._parameters]
        device = self._parameters[0].device if self._fused else "cpu"
        self._count = torch.zeros(len(self._parameters), dtype=torch.float32, device=device)
        self._steps = list(self._count.unbind())

    @torch.no_grad()
    def step(self, rate: float, divisor: Tensor | None = None) -> None:
        """Take one step of length `rate` against the gradients, divided first by the scalar `divisor` if there is one
        (the gradients are then overwritten).
        """
        state = zip(self._parameters, self._first, self._second, self._steps, strict=True)
        live = [(p, p.grad, first, second, step) for p, first, second, step in state if p.grad is not None]
        parameters, gradients, first, second, steps = map(list, zip(*live, strict=True))
        lists = (parameters, gradients, first, second, [], steps)
        options = {
            "lr": rate, "beta1": FIRST_DECAY, "beta2": SECOND_DECAY, "weight_decay": self._weight_decay,
            "eps": EPSILON, "amsgrad": False, "maximize": False,
        }  # fmt: skip
        if self._fused:
            _count_up(self._count, steps)
            divisor = None if divisor is None else divisor.float()  # the one precision that the kernel reads
            torch._fused_adamw_(*lists, **options, grad_scale=divisor)  # pyright: ignore
        else:
            if divisor is not None:
                torch._foreach_div_(gradients, divisor)  # pyright: ignore[reportPrivateImportUsage]
            adamw(*lists, **options)

    def state(self) -> dict[str, Tensor]:
        """Return the steps taken, `step: (number of parameters,)`, and `exp_avg` and `exp_avg_sq` of every parameter,
        by its number.
        """
        averages = {"exp_avg": self._first, "exp_avg_sq": self._second}
        return {"step": self._count} | {
            f"{number}/{name}": value for name, values in averages.items() for number, value in enumerate(values)
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` returned."""
        for name, value in self.state().items():
            value.copy_(state[name])


def _count_up(count: Tensor, steps: list[Tensor]) -> None:
    """Add one to `steps`, which are entries of `count`: in one go where they are all of them."""
    if len(steps) == len(count):
        count.add_(1)
    else:
        torch._foreach_add_(steps, 1)  # pyright: ignore[reportPrivateImportUsage]
