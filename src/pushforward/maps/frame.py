"""A frame: the shift and the single scale between a user's units and those the network sees."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pushforward.configuration import Recorded

__all__ = ["Frame"]


class Frame(nn.Module, Recorded):
    """The map `z = (x - shift) / scale` from a user's units to those of the network.

    One scale for all features, so that squared Euclidean costs, and with them couplings, keep their order.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, event_shape: tuple[int, ...]) -> None:
        """Start as the identity on points of shape `event_shape`."""
        super().__init__()
        self.register_buffer("shift", torch.zeros(tuple(event_shape)))
        self.register_buffer("scale", torch.ones(()))

    @classmethod
    def fitted(cls, *samples: Tensor) -> Frame:
        """Return the frame in which the pooled `samples`, each `(n, *event)`, have mean zero and mean variance one."""
        frame = cls(tuple(samples[0].shape[1:]))
        pooled = torch.cat(samples).double()
        shift = pooled.mean(0)
        scale = (pooled - shift).pow(2).mean().sqrt()
        frame.shift.copy_(shift)
        frame.scale.copy_(scale if scale > 0 else torch.ones(()))
        return frame

    def normalise(self, x: Tensor) -> Tensor:
        """From the user's units to the network's."""
        return (x - self.shift.to(x)) / self.scale.to(x)

    def enter(self, x: Tensor) -> Tensor:
        """From the user's units to the network's, and to its precision."""
        return self.normalise(x).to(self.scale.dtype)

    def restore(self, z: Tensor) -> Tensor:
        """From the network's units to the user's."""
        return z * self.scale.to(z) + self.shift.to(z)

    def agrees(self, other: Frame) -> bool:
        """Tell whether two frames are the same map."""
        return torch.equal(self.shift, other.shift) and torch.equal(self.scale, other.scale)

    def log_det(self) -> Tensor:
        """`log |d normalise / dx| = -d log(scale)`."""
        return -math.prod(self.shift.shape) * self.scale.log()
